//! The timeline as HTML: what happened, newest first, and what a dead worker had not answered.
//!
//! The page holds it, and the stream sends it anew when something is added. Pure.
//! Invariant: texts of events, methods and paths are escaped; they come from applications and their clients.

use std::fmt::{self, Display, Formatter};

use crate::monitor::data::history::{Entry, History};
use crate::monitor::views::calendar::iso;
use crate::monitor::views::html::Escaped;
use crate::monitor::views::view_model::{Mood, millis, readable};

/// The items of the timeline, newest first.
pub(crate) struct Timeline<'a>(pub(crate) &'a History);

impl Display for Timeline<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|entry| item(f, entry))
    }
}

fn item(f: &mut Formatter<'_>, entry: &Entry) -> fmt::Result {
    let (exact, read) = (iso(entry.time), readable(entry.time));
    let (day, time) = read.split_once(' ').unwrap_or(("", &read));
    write!(f, "<li><time datetime=\"{exact}\" title=\"{day}\">{time}</time> ")?;
    let mood = mood_of(entry).map_or("", Mood::name);
    write!(f, "<strong class=\"{mood}\">{}</strong> ", Escaped(entry.event))?;
    let pid = entry.pid.map(|pid| format!("pid {pid}")).unwrap_or_default();
    write!(f, "<span class=\"pid\">{pid}</span> ")?;
    write!(f, "<span class=\"text\">{}</span>", Escaped(&entry.text))?;
    if entry.lost_count > 0 {
        lost(f, entry)?;
    }
    f.write_str("</li>\n")
}

/// What a dead worker had not answered yet.
fn lost(f: &mut Formatter<'_>, entry: &Entry) -> fmt::Result {
    let (count, kept) = (entry.lost_count, entry.lost.len());
    let noun = if count == 1 { "request" } else { "requests" };
    write!(f, "<div class=\"lost\">{count} {noun} under way:<ul>")?;
    for request in &entry.lost {
        let (method, path) = (Escaped(&request.method), Escaped(&request.path));
        let ms = u32::try_from(request.ms).map_or(f64::INFINITY, f64::from);
        write!(f, "<li><code>{method} {path}</code> for {}</li>", millis(ms))?;
    }
    if count > kept {
        write!(f, "<li>and {} more</li>", count - kept)?;
    }
    f.write_str("</ul></div>")
}

fn mood_of(entry: &Entry) -> Option<Mood> {
    match entry.event {
        "died" if entry.is_orderly => None,
        "listening" | "started" | "enabled" | "reloaded" => Some(Mood::Good),
        "hung" | "died" | "disabled" => Some(Mood::Poor),
        "warning" | "shutdown" | "stop" | "recycling" | "leaving" | "reload" => Some(Mood::Fair),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::data::history::Lost;

    #[test]
    fn the_requests_of_a_dead_worker_are_shown_and_escaped() {
        let request = |path: &str| Lost { method: "GET".into(), path: path.into(), ms: 5200 };
        let mut history = History::default();
        history.add(Entry {
            time: std::time::SystemTime::UNIX_EPOCH,
            event: "died",
            pid: Some(7),
            text: "worker 1: killed by SIGKILL".into(),
            lost: vec![request("/slow"), request("/<img src=x>")],
            lost_count: 5,
            is_orderly: false,
        });
        let shown = Timeline(&history).to_string();
        assert!(
            shown.contains("5 requests under way:<ul><li><code>GET /slow</code> for 5.2 s</li>"),
            "{shown}"
        );
        assert!(shown.contains("GET /&lt;img src=x&gt;") && shown.contains("and 3 more"), "{shown}");
    }
}
