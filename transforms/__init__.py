"""Beam transforms: the public ones by name. Importing any of them registers the coders of their elements."""

from __future__ import annotations

from flumebeam.transforms import coders as coders
from flumebeam.transforms.acknowledge import Acknowledge, AcknowledgeBatches
from flumebeam.transforms.broker_position import BrokerPosition
from flumebeam.transforms.deadletter import DeadLetter, DeadLettersToFiles
from flumebeam.transforms.deadletter_topic import DeadLettersToSolace, DeadLetterTopic
from flumebeam.transforms.events import FromEvents, ToEvents
from flumebeam.transforms.file_read import ReadFromFiles
from flumebeam.transforms.hdfs_write import WriteToHdfs
from flumebeam.transforms.intercept import Intercept
from flumebeam.transforms.rows import FromRows, JsonToRows, RowsToDurables, RowsToJson, ToRows
from flumebeam.transforms.running import run_pipeline
from flumebeam.transforms.solace_move import MoveOnSolace
from flumebeam.transforms.solace_read import ReadFromSolace
from flumebeam.transforms.solace_write import WriteResult, WriteToSolace
from flumebeam.transforms.window_write import WindowFile, WriteWindowsToFiles

__all__ = [
    "Acknowledge",
    "AcknowledgeBatches",
    "BrokerPosition",
    "DeadLetter",
    "DeadLetterTopic",
    "DeadLettersToFiles",
    "DeadLettersToSolace",
    "FromEvents",
    "FromRows",
    "Intercept",
    "JsonToRows",
    "MoveOnSolace",
    "ReadFromFiles",
    "ReadFromSolace",
    "RowsToDurables",
    "RowsToJson",
    "ToEvents",
    "ToRows",
    "WindowFile",
    "WriteResult",
    "WriteToHdfs",
    "WriteToSolace",
    "WriteWindowsToFiles",
    "run_pipeline",
]
