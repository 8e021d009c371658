"""A container of SageMaker: ``GET /ping`` and ``POST /invocations`` over exported tasks, and no queue.

``python -P -m api.sagemaker`` serves the folder that ``pingti export --format sagemaker`` made, which
SageMaker puts at /opt/ml/model.
"""
