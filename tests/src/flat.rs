//! The flat answers of the API.

/// The keys of a machine's answer, sorted: those of the old system, and those that were added; beside `unavailable`.
pub const VM_KEYS: [&str; 20] = [
    "cpu_allocated_cores",
    "cpu_percent",
    "disk_allocated_gb",
    "disk_available_gb",
    "disk_percent",
    "disk_used_gb",
    "ip_address",
    "memory_available_mb",
    "memory_percent",
    "memory_used_mb",
    "network_rx_mb",
    "network_tx_mb",
    "ram_allocated_mb",
    "state",
    "timestamp",
    "uptime_hours",
    "uptime_seconds",
    "vm_id",
    "vm_name",
    "vm_status",
];
