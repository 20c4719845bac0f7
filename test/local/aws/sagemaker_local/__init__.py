"""A local Amazon SageMaker, as an extension of the MiniStack emulator.

Requests go through the modules in this order:

    hooks      where MiniStack hands requests and workflow tasks over
    api        the wire protocol: decode, check, order faults, answer
    apimodel   the check of a request against AWS's own API model
    training   training jobs             (a real process each)
    transform  batch transform jobs      (a real serving process each)
    hosting    models, endpoint configurations, endpoints (a real serving process each)
    registry   model packages and their groups
    scaling    Application Auto Scaling of endpoints' variants
    quotas     Service Quotas of instances, which hold
    tags       tags of all of SageMaker's
    workflow   the same operations as tasks of AWS Step Functions
    resources  types of resources for AWS CloudFormation

and beside them:

    errors     AWS's error codes and texts, each with its source (aws_errors.json)
    faults     faults that a test orders, and the record of calls
    storage    Amazon S3, as the service reads inputs and writes artifacts
    processes  the children, which never outlive the emulator
    deployment the steps of an update's traffic
    alarms     Amazon CloudWatch, whose alarms roll an update back
    capture    what an endpoint answered, to S3
    serving    the processes of models that serve
    fields     the filters of batch transform
    images     which container images there are
    listing    filters, order and pages of the List operations
    wire       how an answer goes over the wire
    container/ what the images hold: the algorithm's own `train` and `serve`
"""
