"""One process of a service that AWS Lambda Powertools for Python makes idempotent.

It receives orders from a queue in batches of ten, as a Lambda function does. It processes each order
in a function that Powertools guards: it reads and writes the ledger of the order's entity, and sends
one reservation. It prints a line when it is ready, and then the id of each acknowledged order. The
benchmark `endtoend` starts it. See `run` in this folder.
"""

import json
import os
import sys
import time

import boto3
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from botocore.exceptions import ClientError

TABLE = os.environ["BENCH_TABLE"]
QUEUE_PREFIX = os.environ["BENCH_QUEUE_PREFIX"]
# The same as for the other contestants.
VISIBILITY_S = 300
MASK = (1 << 64) - 1


class Context:
    """The context of a Lambda function. Powertools reads the remaining time from it."""

    def __init__(self):
        self.ends = time.monotonic() + VISIBILITY_S

    def get_remaining_time_in_millis(self):
        return int((self.ends - time.monotonic()) * 1000)


def mixed(number):
    """The same function as that of `Ledger`."""
    z = (number + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


sqs = boto3.client("sqs")
dynamodb = boto3.client("dynamodb")
incoming, outgoing = (sqs.get_queue_url(QueueName=QUEUE_PREFIX + name)["QueueUrl"] for name in ("in", "out"))
config = IdempotencyConfig(event_key_jmespath="id", expires_after_seconds=3600)
persistence = DynamoDBPersistenceLayer(
    table_name=TABLE, key_attr="pk", sort_key_attr="sk", static_pk_value="idempotency", expiry_attr="cloakroom_expires"
)


@idempotent_function(data_keyword_argument="order", persistence_store=persistence, config=config)
def process(order):
    apply(order)
    # Sent inside the guarded function. Sent after the batch, it would be lost if the process died before.
    sqs.send_message(QueueUrl=outgoing, MessageBody=json.dumps(order))


def apply(order):
    """Adds the order to its entity with a conditional write. Retries if another process wrote in between."""
    key = {"pk": {"S": f"entity#{order['entity']}"}, "sk": {"S": "state"}}
    while True:
        found = dynamodb.get_item(TableName=TABLE, Key=key, ConsistentRead=True).get("Item")
        applied, checksum = (int(found[name]["N"]) if found else 0 for name in ("applied", "checksum"))
        state = {
            "applied": {"N": str(applied + 1)},
            "checksum": {"N": str((checksum + mixed(int(order["id"]))) & MASK)},
        }
        condition = {"ConditionExpression": "attribute_not_exists(pk)"}
        if found:
            condition = {
                "ConditionExpression": "applied = :applied",
                "ExpressionAttributeValues": {":applied": {"N": str(applied)}},
            }
        try:
            dynamodb.put_item(TableName=TABLE, Item=key | state, **condition)
            return
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise


def main():
    print("ready", flush=True)
    while True:
        received = sqs.receive_message(
            QueueUrl=incoming, MaxNumberOfMessages=10, WaitTimeSeconds=20, VisibilityTimeout=VISIBILITY_S
        )
        config.register_lambda_context(Context())
        done = {}
        for number, message in enumerate(received.get("Messages", [])):
            order = json.loads(message["Body"])
            try:
                process(order=order)
            except Exception as error:  # The message becomes visible again, as after a partial batch failure.
                print(f"order {order['id']}: {error}", file=sys.stderr)
                continue
            done[str(number)] = (order["id"], message["ReceiptHandle"])
        if done:
            entries = [{"Id": number, "ReceiptHandle": receipt} for number, (_, receipt) in done.items()]
            deleted = sqs.delete_message_batch(QueueUrl=incoming, Entries=entries)
            for entry in deleted.get("Successful", []):
                print(done[entry["Id"]][0])
            sys.stdout.flush()


main()
