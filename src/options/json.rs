//! The way back to JavaScript: options as the plain object that a user could have written.
//!
//! The border calls it for `Cluster.defaultOptions` and for what lib/ needs to know. Names are those of the options.

use std::num::NonZeroU64;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Address, Ecv, Millionths, Options};

impl Options {
    /// The normalised options: `port` is always a list, times are numbers in the option's own unit, `monPort` is false
    /// and `ecv` null where they are off, and `ecv.validator`, `ecv.token` and `monitor.token` say whether one was given.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "cluster": self.cluster,
            "port": self.ports.iter().map(address).collect::<Vec<Value>>(),
            "host": self.host,
            "monHost": self.mon_host,
            "monPort": self.mon_port.map_or(Value::Bool(false), |port| json!(port.get())),
            "monPath": self.mon_path,
            "monitor": { "control": self.monitor.control, "token": self.monitor.token.is_some() },
            "ecv": self.ecv.as_ref().map(ecv),
            "noWorkers": self.no_workers.get(),
            "spares": self.spares,
            "timeout": millis(self.timeout),
            "connThreshold": self.conn_threshold.get(),
            "uptimeThreshold": seconds(self.uptime_threshold),
            "requestThreshold": self.request_threshold.map(NonZeroU64::get),
            "memoryThreshold": self.memory_threshold.map(NonZeroU64::get),
            "recycleJitter": fraction(self.recycle_jitter),
            "cwd": self.cwd.as_ref().map(|cwd| cwd.to_string_lossy()),
            "heartbeatInterval": millis(self.heartbeat_interval),
            "maxHeartbeatDelay": millis(self.max_heartbeat_delay),
            "pids": self.pids.to_string_lossy(),
            "logs": self.logs.to_string_lossy(),
            "stop": self.stop,
            "shutdown": self.shutdown,
            "restart": self.restart.name(),
            "onUncaughtException": self.on_uncaught_exception.name(),
            "shutdownTimeout": millis(self.shutdown_timeout),
            "killTimeout": millis(self.kill_timeout),
            "keepAliveGrace": millis(self.keep_alive_grace),
            "startTimeout": millis(self.start_timeout),
            "recycleTimeout": millis(self.recycle_timeout),
            "scheduling": self.scheduling.name(),
            "backlog": self.backlog.get(),
            "sticky": self.sticky.name(),
            "hangTimeout": self.hang_timeout.map(millis),
            "captureStack": self.capture_stack,
            "metrics": self.metrics,
            "flightRecorder": self.flight_recorder,
            "drainDelay": millis(self.drain_delay),
            "liveMaxAge": millis(self.live_max_age),
            "readyQuorum": self.ready_quorum.get(),
        })
    }
}

fn address(address: &Address) -> Value {
    match address {
        Address::Tcp(port) => json!(port),
        Address::Path(path) => json!(path.to_string_lossy()),
    }
}

fn ecv(ecv: &Ecv) -> Value {
    let networks: Vec<String> = ecv.guard.from.iter().map(ToString::to_string).collect();
    let networks = if networks.is_empty() { Value::Null } else { json!(networks) };
    json!({
        "path": ecv.path,
        "monitor": ecv.monitor,
        "control": ecv.control,
        "validator": ecv.validator,
        "timeout": millis(ecv.timeout),
        "startDisabled": ecv.start_disabled,
        "controlFrom": networks,
        "token": ecv.guard.token.is_some(),
    })
}

fn millis(time: Duration) -> Value {
    json!(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// 0 without a point, so that the default stays as it is written.
fn fraction(Millionths(part): Millionths) -> Value {
    match part {
        0 | 1_000_000 => json!(part / 1_000_000),
        _ => json!(f64::from(part) / 1e6),
    }
}

/// Whole seconds without a fraction, so that 86400 stays 86400.
fn seconds(time: Duration) -> Value {
    if time.subsec_nanos() == 0 { json!(time.as_secs()) } else { json!(time.as_secs_f64()) }
}
