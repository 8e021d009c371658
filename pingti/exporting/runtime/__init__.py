"""What answers in AWS Lambda. It may import the standard library, NumPy, and Pingti's modules without others.

``pingti.exporting.aws_lambda`` lists the modules that go along.
"""
