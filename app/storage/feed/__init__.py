"""The change feed: stored changes as events, in the order in which they became durable."""

from app.storage.feed.feed import MongoChangeFeed

__all__ = ["MongoChangeFeed"]
