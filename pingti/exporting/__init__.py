"""Students carried away: into a function of AWS Lambda, an endpoint of SageMaker, or a model of ONNX.

``runtime`` goes along into a function of AWS Lambda, where NumPy is all that is installed; so nothing is
imported here.
"""
