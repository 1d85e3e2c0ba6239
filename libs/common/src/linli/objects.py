"""Stores of objects (对象存储): a folder, or a bucket of any S3-compatible store."""

import os
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from obstore.store import LocalStore, S3Store


class Objects(NamedTuple):
    """A store of objects.

    Attributes:
        store: for `obstore`'s functions.
        folder: None for a bucket. What is written into a folder has to be synced by whoever writes it.
    """

    store: LocalStore | S3Store
    folder: Path | None


def open_objects(address: str, *, make: bool = True, within: timedelta | None = None) -> Objects:
    """Open a store.

    Args:
        address: a folder, as a path or `file:///path`, or `s3://bucket/prefix`, whose keys and endpoint come from the
            usual `AWS_...` variables.
        make: whether a folder is made that is not there.
        within: how long a bucket may take to answer, with all that is tried again; None for as long as `obstore` waits.

    Raises:
        ValueError: when it is neither.
        OSError: when the folder is not there, or can't be made.
        obstore.exceptions.BaseError: when the store can't be opened.
    """
    scheme, found, rest = address.partition("://")
    bucket = rest.partition("/")[0] if found and scheme == "s3" else ""
    # A relative path with a colon is an address that was mistyped, such as `s3:/bucket`.
    is_folder = scheme == "file" if found else address.startswith("/") or ":" not in address
    if not bucket and not is_folder:
        raise ValueError(f"{address} is neither a folder nor s3://bucket/prefix")
    if bucket:
        plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
        store = (
            S3Store.from_url(
                address.rstrip("/"),
                client_options={"allow_http": plain, "timeout": within, "connect_timeout": timedelta(seconds=3)},
                retry_config={"max_retries": 2, "retry_timeout": within},
            )
            if within
            else S3Store.from_url(address.rstrip("/"), client_options={"allow_http": plain})
        )
        return Objects(store, None)
    folder = Path(rest if found else address).absolute()
    if make:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A folder in it goes with the last object in it, as it does in a bucket.
    return Objects(LocalStore(folder, automatic_cleanup=True), folder)
