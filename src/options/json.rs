//! The way back to JavaScript: options as the plain object that a user could have written.
//!
//! The border calls it for `Cluster.defaultOptions` and for what lib/ needs to know. Names are those of the options.

use std::num::NonZeroU64;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Address, Ecv, Metrics, Millionths, Options};

impl Options {
    /// The normalised options: `port` is always a list, times are numbers in the option's own unit, `monPort` and `metrics`
    /// are false and `ecv` is null where they are off, and `ecv.validator`, `ecv.token` and `monitor.token` say whether one
    /// was given.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let parts = [
            ("cluster", json!(self.cluster)),
            ("port", json!(self.ports.iter().map(address).collect::<Vec<Value>>())),
            ("host", json!(self.host)),
            ("monHost", json!(self.mon_host)),
            ("monPort", json!(self.mon_port.map_or(Value::Bool(false), |port| json!(port.get())))),
            ("monPath", json!(self.mon_path)),
            ("monitor", json!({ "control": self.monitor.control, "token": self.monitor.token.is_some() })),
            ("ecv", json!(self.ecv.as_ref().map(Ecv::to_json))),
            ("noWorkers", json!(self.no_workers.get())),
            ("spares", json!(self.spares)),
            ("timeout", millis(self.timeout)),
            ("connThreshold", json!(self.conn_threshold.map(NonZeroU64::get))),
            ("uptimeThreshold", seconds(self.uptime_threshold)),
            ("requestThreshold", json!(self.request_threshold.map(NonZeroU64::get))),
            ("memoryThreshold", json!(self.memory_threshold.map(NonZeroU64::get))),
            ("recycleJitter", fraction(self.recycle_jitter)),
            ("cwd", json!(self.cwd.as_ref().map(|cwd| cwd.to_string_lossy()))),
            ("uid", json!(self.uid)),
            ("gid", json!(self.gid)),
            ("heartbeatInterval", millis(self.heartbeat_interval)),
            ("maxHeartbeatDelay", millis(self.max_heartbeat_delay)),
            ("pids", json!(self.pids.to_string_lossy())),
            ("logs", json!(self.logs.to_string_lossy())),
            ("exec", json!(self.script.exec)),
            ("args", json!(self.script.args)),
            ("nodeArgs", json!(self.script.node_args)),
            ("env", json!(self.script.env)),
            ("instanceEnv", json!(self.script.instance_env)),
            ("waitReady", json!(self.script.wait_ready)),
            ("name", json!(self.name)),
            ("log", json!(self.log.as_ref().map(|log| log.to_string_lossy()))),
            ("restartDelay", millis(self.restart_delay)),
            ("stop", json!(self.stop)),
            ("shutdown", json!(self.shutdown)),
            ("restart", json!(self.restart.name())),
            ("onUncaughtException", json!(self.on_uncaught_exception.name())),
            ("shutdownTimeout", millis(self.shutdown_timeout)),
            ("killTimeout", millis(self.kill_timeout)),
            ("keepAliveGrace", millis(self.keep_alive_grace)),
            ("startTimeout", millis(self.start_timeout)),
            ("recycleTimeout", millis(self.recycle_timeout)),
            ("scheduling", json!(self.scheduling.name())),
            ("backlog", json!(self.backlog.get())),
            ("sticky", json!(self.sticky.name())),
            ("hangTimeout", json!(self.hang_timeout.map(millis))),
            ("captureStack", json!(self.capture_stack)),
            ("metrics", self.metrics.map_or(Value::Bool(false), Metrics::to_json)),
            ("flightRecorder", json!(self.flight_recorder)),
            ("drainDelay", millis(self.drain_delay)),
            ("liveMaxAge", millis(self.live_max_age)),
            ("readyQuorum", json!(self.ready_quorum.get())),
        ];
        Value::from_iter(parts)
    }
}

fn address(address: &Address) -> Value {
    match address {
        Address::Tcp(port) => json!(port),
        Address::Path(path) => json!(path.to_string_lossy()),
    }
}

impl Ecv {
    pub(super) fn to_json(&self) -> Value {
        let networks: Vec<String> = self.guard.from.iter().map(ToString::to_string).collect();
        let networks = if networks.is_empty() { Value::Null } else { json!(networks) };
        json!({
            "path": self.path,
            "monitor": self.monitor,
            "control": self.control,
            "validator": self.validator,
            "timeout": millis(self.timeout),
            "startDisabled": self.start_disabled,
            "controlFrom": networks,
            "token": self.guard.token.is_some(),
        })
    }
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
