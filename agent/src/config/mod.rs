//! `agent.toml`: read, checked with all errors at once, defaults filled in.

mod schema;

pub use schema::{
    Agent, AlertRule, AlignOffset, Comparison, Config, Http, Mode, Place, Plugin, Storage, TimestampStyle,
    Views,
};
