"""The tables of local opinions: their names, records and keys. None is part of the sealed state.

| table     | key                    | record               |
|-----------|------------------------|----------------------|
| FRAUD     | submission id          | FraudAnalysis        |
| BEHAVIOUR | address                | BehavioralPattern    |
| METRICS   | epoch (8 bytes BE)     | NetworkMetrics       |
| ANALYTICS | address                | PerformanceAnalytics |
"""

from protocol.tables import Table
from storage.local_records import (
    BehavioralPattern,
    FraudAnalysis,
    NetworkMetrics,
    PerformanceAnalytics,
)

FRAUD = Table("ai_fraud_analysis", FraudAnalysis)
BEHAVIOUR = Table("ai_behavioral_patterns", BehavioralPattern)
METRICS = Table("ai_network_metrics", NetworkMetrics)
ANALYTICS = Table("ai_performance_cache", PerformanceAnalytics)

LOCAL_TABLES = (FRAUD, BEHAVIOUR, METRICS, ANALYTICS)


def metrics_key(epoch: int) -> bytes:
    """Return the key of an epoch's metrics; the latest sorts last."""
    return epoch.to_bytes(8, "big")
