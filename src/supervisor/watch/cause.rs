//! Why a worker died, in one sentence, and what it leaves behind.
//!
//! `effects` asks when a worker is reaped, before its row is cleared. The kernel says how a process ended; the fleet
//! says what was wanted of it; the row says how it was. Pure, but for the clock of the requests that were under way.

use serde_json::{Map, Value, json};

use crate::event::{Exit, signal_name};
use crate::fleet::DeathReason;
use crate::options::Options;
use crate::os::clock::monotonic_ms;
use crate::scoreboard::layout::Field;
use crate::scoreboard::{Recorded, Row};

const MIB: f64 = 1_048_576.0;
/// How full the old part of a heap must have been for its limit to be to blame; V8 gives up a little before.
const NEAR_LIMIT: f64 = 0.75;
/// What the limit that V8 reports counts at most for young objects, which go into the old part when they stay.
const YOUNG: f64 = 192.0 * MIB;
/// What shells and Node's own wrappers make of SIGABRT and SIGTRAP.
const EXIT_AFTER_SIGNAL: i32 = 128;

/// Everything that is known of a worker's end.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// How it ended.
    pub(crate) exit: Exit,
    /// What was wanted of it.
    pub(crate) cause: DeathReason,
    /// Its last row; `None` when it never wrote one.
    pub(crate) row: Option<Row>,
    /// Its last requests.
    pub(crate) requests: Vec<Recorded>,
    /// The text of the last error that it did not catch.
    pub(crate) last_words: Option<String>,
    /// The most memory that it ever had, in bytes, where that is known.
    pub(crate) peak_rss: Option<u64>,
    /// The kernel has just killed somebody of our cgroup for want of memory.
    pub(crate) out_of_memory: bool,
}

impl Evidence {
    /// The sentence.
    pub(crate) fn reason(&self, options: &Options) -> String {
        let how = self.how();
        match self.cause.sentence(options.start_timeout, options.script.wait_ready) {
            Some(wanted) => format!("{wanted}, {how}"),
            None => how,
        }
    }

    /// What `died` tells beside the sentence: `{row, requests}`.
    pub(crate) fn facts(&self) -> Value {
        let row: Option<Map<String, Value>> = self
            .row
            .as_ref()
            .map(|row| row.named().map(|(name, value)| (name.to_owned(), json!(value))).collect());
        let now = monotonic_ms();
        let under_way = self.requests.iter().filter(|request| request.end.is_none());
        let requests: Vec<Value> = under_way
            .map(|request| {
                let ms = (now - request.start).max(0.0).round();
                json!({ "method": request.method, "path": request.path, "ms": ms })
            })
            .collect();
        json!({ "row": row, "requests": requests })
    }

    fn how(&self) -> String {
        let how = match self.exit {
            Exit::Code(code) => format!("exit code {code}"),
            Exit::Signal(signal) => format!("killed by {}", signal_name(signal)),
        };
        match self.detail() {
            Some(detail) => format!("{how}: {detail}"),
            None => how,
        }
    }

    fn detail(&self) -> Option<String> {
        if self.exit == Exit::Signal(libc::SIGKILL) && self.out_of_memory {
            return Some("out of memory, by the limit of its cgroup or of the machine".into());
        }
        if self.gave_itself_up() {
            if let Some(limit) = self.heap_limit_reached() {
                return Some(format!("the heap limit of V8 was reached ({:.0} MiB)", limit / MIB));
            }
            return Some(self.last_words.clone().unwrap_or_else(|| "it aborted itself".into()));
        }
        // An older error, survived, has nothing to do with a signal that nobody asked for.
        let is_survivor = matches!((self.exit, self.cause), (Exit::Signal(_), DeathReason::Unasked));
        self.last_words.clone().filter(|_| !is_survivor)
    }

    /// Did it end as `abort()` and V8's fatal errors do?
    fn gave_itself_up(&self) -> bool {
        [libc::SIGABRT, libc::SIGTRAP, libc::SIGILL].iter().any(|signal| {
            [Exit::Signal(*signal), Exit::Code(EXIT_AFTER_SIGNAL + signal)].contains(&self.exit)
        })
    }

    /// The limit, if the heap was about as large. A heap that grew in one go was never seen so by the row; then the growth
    /// of the whole process since the row was written stands for the heap's.
    fn heap_limit_reached(&self) -> Option<f64> {
        let row = self.row.as_ref()?;
        let used = row.get(Field::HeapUsed);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let growth = self.peak_rss.map_or(0.0, |peak| peak as f64 - row.get(Field::Rss)).max(0.0);
        let old = match row.get(Field::HeapOldLimit) {
            told if told > 0.0 => told,
            _ => {
                let limit = row.get(Field::HeapLimit);
                (limit - YOUNG).max(limit * 0.5)
            }
        };
        // A worker knows its limit after a second, unless a flag says it.
        (old > 0.0 && used + growth >= old * NEAR_LIMIT).then_some(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::RecycleReason;
    use crate::options::{Machine, Options};

    const MIB: u64 = 1 << 20;

    fn options() -> Options {
        Options::defaults(&Machine::plain())
    }

    fn evidence(exit: Exit, cause: DeathReason) -> Evidence {
        let (row, requests, last_words) = (None, Vec::new(), None);
        Evidence { exit, cause, row, requests, last_words, peak_rss: None, out_of_memory: false }
    }

    /// A row with the heap in use, its limit and the resident memory, in MiB.
    fn row(used: f64, limit: f64, rss: f64) -> Row {
        let mib = f64::from(u32::try_from(MIB).unwrap());
        let (total, old) = ((Field::HeapLimit, limit + 48.0), (Field::HeapOldLimit, limit));
        let fields = [(Field::HeapUsed, used), total, old, (Field::Rss, rss)];
        Row::with(&fields.map(|(field, value)| (field, value * mib)))
    }

    #[test]
    fn the_kernel_s_word_comes_first_then_the_uncaught_error() {
        let mut code = evidence(Exit::Code(3), DeathReason::Unasked);
        assert_eq!(code.reason(&options()), "exit code 3");
        code.last_words = Some("Error: no".into());
        assert_eq!(code.reason(&options()), "exit code 3: Error: no");
        let mut killed = evidence(Exit::Signal(9), DeathReason::Unasked);
        killed.last_words = Some("Error: long ago".into());
        assert_eq!(killed.reason(&options()), "killed by SIGKILL");
        let hung = evidence(Exit::Signal(9), DeathReason::Recycled(RecycleReason::Hung));
        assert_eq!(hung.reason(&options()), "its event loop hung, killed by SIGKILL");
        let late = evidence(Exit::Signal(9), DeathReason::StartTimeout);
        assert_eq!(late.reason(&options()), "did not listen within 60000 ms, killed by SIGKILL");
        let mut by_word = options();
        by_word.script.wait_ready = true;
        assert_eq!(
            late.reason(&by_word),
            "did not say `process.send('ready')` within 60000 ms, killed by SIGKILL"
        );
    }

    #[test]
    fn a_full_heap_is_told_from_an_abort() {
        for exit in [Exit::Signal(libc::SIGABRT), Exit::Signal(libc::SIGTRAP), Exit::Code(134)] {
            let mut died = evidence(exit, DeathReason::Unasked);
            assert!(died.reason(&options()).ends_with(": it aborted itself"));
            died.row = Some(row(10.0, 100.0, 50.0));
            assert!(died.reason(&options()).ends_with(": it aborted itself"));
            died.row = Some(row(90.0, 100.0, 130.0));
            assert!(died.reason(&options()).ends_with(": the heap limit of V8 was reached (100 MiB)"));
        }
    }

    #[test]
    fn a_limit_that_a_flag_told_is_enough_in_the_first_second() {
        let mut died = evidence(Exit::Signal(libc::SIGABRT), DeathReason::Unasked);
        for (field, is_full) in [(Field::HeapOldLimit, true), (Field::HeapTotal, false)] {
            died.row = Some(Row::with(&[(Field::HeapUsed, 1e8), (field, 1e8)]));
            assert_eq!(died.reason(&options()).contains("the heap limit of V8"), is_full, "{field:?}");
        }
    }

    #[test]
    fn a_heap_that_grew_since_the_row_was_written_is_judged_by_the_process() {
        let mut died = evidence(Exit::Signal(libc::SIGABRT), DeathReason::Unasked);
        died.row = Some(row(10.0, 100.0, 50.0));
        died.peak_rss = Some(60 * MIB);
        assert!(died.reason(&options()).ends_with("it aborted itself"));
        died.peak_rss = Some(135 * MIB);
        assert!(died.reason(&options()).ends_with("was reached (100 MiB)"));
    }

    #[test]
    fn the_kernel_s_killer_is_named_only_for_its_own_signal() {
        let mut died = evidence(Exit::Signal(9), DeathReason::Unasked);
        died.out_of_memory = true;
        assert_eq!(
            died.reason(&options()),
            "killed by SIGKILL: out of memory, by the limit of its cgroup or of the machine"
        );
        died.exit = Exit::Code(1);
        assert_eq!(died.reason(&options()), "exit code 1");
    }

    #[test]
    fn requests_under_way_are_told_and_others_are_not() {
        let mut died = evidence(Exit::Signal(9), DeathReason::Unasked);
        let request = |path: &str, end| {
            let (method, path) = ("GET".to_owned(), path.to_owned());
            Recorded { start: monotonic_ms() - 5000.0, end, status: None, method, path }
        };
        died.requests = vec![request("/done", Some(1.0)), request("/slow", None)];
        let facts = died.facts();
        assert_eq!(facts["row"], Value::Null);
        assert_eq!(facts["requests"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&facts["requests"][0]["path"], &facts["requests"][0]["method"]),
            (&json!("/slow"), &json!("GET"))
        );
        assert!((5000.0..10_000.0).contains(&facts["requests"][0]["ms"].as_f64().unwrap()));
        died.row = Some(row(1.0, 2.0, 3.0));
        assert_eq!(died.facts()["row"]["rss"], json!(3.0 * 1_048_576.0));
    }
}
