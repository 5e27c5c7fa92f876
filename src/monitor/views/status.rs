//! The snapshot as JSON.
//!
//! Under `master` stand the fields of cluster2 0.3.9, with its names, units and spellings, for the scripts that read them;
//! beside them our own fields say the same in plain words. The renderer calls it, for the monitor's port and for the
//! control socket. What is not known is `null`.

use serde_json::{Map, Value, json};

use crate::monitor::data::history::{Entry, Lost};
use crate::monitor::data::host::{Host, approximate};
use crate::monitor::data::stats::{Address, Crashing, Reload, Stats, Worker};
use crate::monitor::data::trends::{Figures, STEP};
use crate::monitor::views::calendar::iso;
use crate::monitor::views::view_model::ViewModel;
use crate::socket::Ip;

const MEGABYTE: f64 = 1_048_576.0;
/// The original's own idea of a megabyte in `currentMemoryUsage`; kept, since thresholds were set by it.
const MEMORY_USAGE_UNIT: f64 = 1_024_000.0;

/// Everything: the original's fields, ours, and the machine. `boot` is the machine when the monitor began.
pub(crate) fn status(model: &ViewModel<'_>, boot: &Host) -> Value {
    let ViewModel { stats, trends, host, busy, .. } = *model;
    let mut all = Map::new();
    all.insert("master".into(), master(stats, host, boot, busy));
    if let Value::Object(own) = stats.to_json() {
        all.extend(own);
    }
    if let Some(Value::Array(workers)) = all.get_mut("workers") {
        for (shown, worker) in workers.iter_mut().filter_map(Value::as_object_mut).zip(&stats.workers) {
            shown.insert("loopAgeMs".into(), json!(model.moment.loop_age(worker).map(f64::round)));
            shown.insert("figures".into(), json!(trends.worker(worker.id).map(figures)));
        }
    }
    let ready = model.moment.ready();
    all.insert("ready".into(), json!({ "ready": ready.holds, "why": ready.body["why"] }));
    all.insert("figures".into(), json!(trends.all().map(figures)));
    all.insert(
        "queues".into(),
        model.queues.iter().map(|(port, waiting)| (port.to_string(), json!(waiting))).collect(),
    );
    all.insert("look".into(), json!({ "number": trends.number(), "everyMs": STEP.as_secs() * 1000 }));
    all.insert("host".into(), machine(host, busy));
    Value::Object(all)
}

/// Those of the last look, which the page shows as well.
fn figures(figures: &Figures) -> Value {
    json!({
        "requestsPerSecond": figures.requests_per_second,
        "p50Ms": figures.p50,
        "p99Ms": figures.p99,
        "connectionsOpen": figures.connections,
        "requestsUnderWay": figures.under_way,
        "loopLagMs": figures.lag,
        "loopLagMaxMs": figures.lag_max,
        "loopUtilisation": figures.utilisation,
        "cpuPercent": figures.cpu,
        "rssBytes": figures.rss,
        "heapUsedBytes": figures.heap,
    })
}

impl Stats {
    /// Our own fields: what the cluster is and does.
    fn to_json(&self) -> Value {
        json!({
            "state": self.state.name(),
            "pid": self.master_pid,
            "started": iso(self.started.time),
            "wanted": self.wanted,
            "serving": self.serving(),
            "forked": self.forked,
            "died": self.died,
            "restarts": self.restarts,
            "ecv": self.rotation_json(),
            "addresses": self.addresses.iter().map(address).collect::<Vec<_>>(),
            "options": { "noWorkers": self.options.no_workers, "ports": self.options.ports },
            "name": self.options.name,
            "script": self.options.script,
            "log": self.options.log.as_ref().map(|log| log.to_string_lossy()),
            "monitor": self.options.monitor.map(Address::Ip).as_ref().map(address),
            "reload": self.reload.map(reload),
            "crashing": self.crashing.iter().map(crashing).collect::<Vec<_>>(),
            "workers": self.workers.iter().map(worker).collect::<Vec<_>>(),
            "events": self.history.iter().map(event).collect::<Vec<_>>(),
        })
    }
}

impl Stats {
    /// In rotation or not: who changed that, when and why.
    fn rotation_json(&self) -> Value {
        let change = self.rotation.change.as_ref();
        json!({
            "enabled": !self.rotation.disabled,
            "leaving": self.leaving,
            "by": change.map(|change| &change.by),
            "at": change.map(|change| iso(change.at.time)),
            "reason": change.and_then(|change| change.reason.as_ref()),
        })
    }
}

fn master(stats: &Stats, host: &Host, boot: &Host, busy: Option<f64>) -> Value {
    let listens = |worker: &Worker| {
        let pid = worker.pid.to_string();
        (pid.clone(), json!({ pid: worker.listening }))
    };
    let alive = stats.workers.len();
    json!({
        "workers": stats.workers.iter().map(listens).collect::<Map<_, _>>(),
        "noWorkers": alive,
        "workersKilled": stats.died,
        "pid": stats.master_pid,
        "start": iso(stats.started.time),
        "totalmem": host.total_memory,
        "freemem": boot.free_memory,
        "hostname": host.hostname,
        "os": host.os,
        "averageLoad": host.load.map(|load| load.map(|average| format!("{average:.2}")).join(" ")),
        "coresUsed": format!("{} of {}", alive.min(host.cores), host.cores),
        "memoryUsageAtBoot": memory_at_boot(boot),
        "totalMem": host.total_memory.map(|bytes| format!("{bytes}.000")),
        "currentMemoryUsage": memory_used(host).map(|bytes| approximate(bytes) / MEMORY_USAGE_UNIT),
        "hostCpu": busy.map(|percent| format!("{percent:.2}")),
        "address": stats.options.monitor.map(Address::Ip).as_ref().map(address),
    })
}

/// The first figure is the memory that was free, though the field is named otherwise: scripts read it so.
fn memory_at_boot(boot: &Host) -> Option<String> {
    let (free, total) = (approximate(boot.free_memory?), approximate(boot.total_memory?));
    Some(format!("{:.2} MB of {:.2} MB", free / MEGABYTE, total / MEGABYTE))
}

fn memory_used(host: &Host) -> Option<u64> {
    host.total_memory?.checked_sub(host.free_memory?)
}

fn address(address: &Address) -> Value {
    match address {
        Address::Ip(at) => json!({
            "address": Ip::from(*at).to_string(),
            "family": if at.is_ipv4() { "IPv4" } else { "IPv6" },
            "port": at.port(),
        }),
        Address::Path(path) => json!({ "path": path.to_string_lossy() }),
    }
}

fn worker(worker: &Worker) -> Value {
    json!({
        "id": worker.id.0,
        "pid": worker.pid,
        "slot": worker.slot.map(|slot| slot.0),
        "state": worker.state.name(),
        "since": iso(worker.since.time),
        "forkedAt": iso(worker.forked_at.time),
        "readyAt": worker.ready_at.map(|ready| iso(ready.time)),
        "generation": worker.generation,
        "listening": worker.listening,
        "restarts": worker.restarts,
    })
}

fn reload(reload: Reload) -> Value {
    json!({ "began": iso(reload.began.time), "staleSettings": reload.has_stale_settings })
}

fn crashing(slot: &Crashing) -> Value {
    json!({
        "slot": slot.slot.0,
        "failures": slot.failures,
        "reason": slot.reason,
        "nextTry": slot.next_try.map(|next| iso(next.time)),
    })
}

fn event(entry: &Entry) -> Value {
    let mut event =
        json!({ "time": iso(entry.time), "event": entry.event, "pid": entry.pid, "text": entry.text });
    if entry.lost_count > 0 {
        event["requestsLost"] = json!(entry.lost_count);
        event["requests"] = entry.lost.iter().map(lost).collect();
    }
    event
}

fn lost(request: &Lost) -> Value {
    json!({ "method": request.method, "path": request.path, "ms": request.ms })
}

fn machine(host: &Host, busy: Option<f64>) -> Value {
    json!({
        "hostname": host.hostname,
        "os": host.os,
        "kernel": host.kernel,
        "cores": host.cores,
        "totalMemory": host.total_memory,
        "freeMemory": host.free_memory,
        "loadAverage": host.load,
        "cpuPercent": busy,
    })
}
