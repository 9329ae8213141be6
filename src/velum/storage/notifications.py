"""Notifications of new objects in a bucket of S3, from a queue of SQS. Errors of boto3 are translated here."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from velum.errors import BadPlan, Unavailable
from velum.storage import StoreAway
from velum.storage.bucket import first_line

WITHHELD_SECONDS = 3600
"""Time for which SQS gives a message to no other receiver, unless it is deleted before."""

LONGEST_WAIT_SECONDS = 5.0
"""Time for which a request may wait for messages. SQS allows 20 s, in which no command could be stopped."""

MOST_MESSAGES = 1000
"""Messages that are held at the same time; the others wait in the queue."""

_OF_AWS = re.compile(r"sqs\.([a-z0-9-]+)\.amazonaws\.com")


class NotificationQueue:
    """Keys of new objects under a prefix of a bucket, as S3 or EventBridge writes them to SQS, also by way of SNS.

    A message stays in the queue until `confirm`. Those that are not about the prefix are left to others, and counted by
    `foreign`. For one thread.
    """

    def __init__(self, url: str, source: str) -> None:
        """Prepare to read the queue with the address `url`; `source` is `s3://bucket/prefix`. Raises `BadPlan`."""
        if not url.startswith(("https://", "http://")) or not urlsplit(url).hostname:
            raise BadPlan(
                f"the queue {url!r} has no address of SQS; write https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
            )
        if not source.startswith("s3://"):
            raise BadPlan(
                f"only buckets of S3 send notifications that velum reads, not {source}; leave out the queue: velum "
                "lists such a source every --interval"
            )
        self.url, self.foreign = url, 0
        self._bucket, _, prefix = source.removeprefix("s3://").rstrip("/").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._held: dict[str, tuple[str, list[str]]] = {}
        """Receipt and keys of the messages that are not confirmed, by their ids."""
        self._client = _open_client(url)

    def receive(self, seconds: float) -> list[str]:
        """Return the keys of all messages that are not confirmed, once there is one; [] after `seconds` without one.

        Raises `StoreAway` when the queue cannot be read.
        """
        wait = 0 if self._held else int(min(seconds, LONGEST_WAIT_SECONDS))
        while len(self._held) < MOST_MESSAGES:
            with self._translate("read"):
                answer = self._client.receive_message(
                    QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=wait, VisibilityTimeout=WITHHELD_SECONDS
                )
            messages, wait = answer.get("Messages", ()), 0
            for message in messages:
                self._hold(message)
            if not messages:
                break
        return sorted({key for _, keys in self._held.values() for key in keys})

    def _hold(self, message: dict[str, Any]) -> None:
        try:
            names = list(_new_objects(json.loads(message["Body"])))
        except (ValueError, KeyError, TypeError, AttributeError):
            self.foreign += 1
            return
        if all(bucket == self._bucket and key.startswith(self._prefix) for bucket, key in names):
            keys = [key.removeprefix(self._prefix) for _, key in names]
            self._held[message["MessageId"]] = message["ReceiptHandle"], keys
        else:
            self.foreign += 1

    def confirm(self) -> None:
        """Delete the messages whose keys were returned. Raises `StoreAway`; a message that stays comes again."""
        receipts = [receipt for receipt, _ in self._held.values()]
        for start in range(0, len(receipts), 10):
            entries = [{"Id": str(n), "ReceiptHandle": text} for n, text in enumerate(receipts[start : start + 10])]
            with self._translate("delete from"):
                self._client.delete_message_batch(QueueUrl=self.url, Entries=entries)
        self._held.clear()

    @contextmanager
    def _translate(self, verb: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - of an extra

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise StoreAway(
                f"cannot {verb} the queue {self.url}: {first_line(error)}; check its address, and that the credentials "
                "may receive and delete its messages"
            ) from error


def _open_client(url: str) -> Any:
    """Return a client of SQS at the host of a queue, in its region; others are of the variable AWS_REGION."""
    try:
        import boto3  # noqa: PLC0415 - of an extra, and takes 0.3 s
    except ImportError as error:
        raise Unavailable(
            "a queue needs a library that is not installed; pip install 'velum-anonymizer[cloud]'"
        ) from error
    parts = urlsplit(url)
    aws = _OF_AWS.fullmatch(parts.hostname or "")
    region = aws[1] if aws else os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return boto3.session.Session().client(
        "sqs", endpoint_url=f"{parts.scheme}://{parts.netloc}", region_name=region
    )  # fmt: skip


def _new_objects(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield bucket and key of the objects that an event says are new.

    Formats: S3 event notification 2.x, whose keys are encoded as in forms; EventBridge `Object Created`, whose keys are
    not; either as the `Message` of SNS. Raises `KeyError`, `TypeError` or `ValueError` for anything else.
    """
    if event.get("Type") == "Notification":
        event = json.loads(event["Message"])
    if "detail-type" in event:
        if event["detail-type"] == "Object Created":
            yield event["detail"]["bucket"]["name"], event["detail"]["object"]["key"]
        return
    if event.get("Event") == "s3:TestEvent":
        return
    for record in event["Records"]:
        if "ObjectCreated:" in record["eventName"]:
            yield record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"])
