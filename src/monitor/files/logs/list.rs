//! The list of the logs. A file thread reads and writes it, since both take their time in a full directory.
//!
//! Regular files, also in folders; links where they lead to one inside. Folders that are links are not gone into, since they
//! may lead round in circles; their files can be asked for all the same.

use std::fs::{Metadata, read_dir};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::path::Encoded;
use crate::monitor::views::calendar::iso;
use crate::monitor::views::html::Escaped;
use crate::monitor::views::subpage::{Subpage, Time, table};
use crate::os::open_within::open_inside;

/// How many are listed at most.
const ENTRIES: usize = 5000;
/// How many folders deep.
const DEPTH: usize = 8;

/// The files of a directory, by name.
#[derive(Debug)]
pub(crate) struct List {
    /// What is known of the directory when there is nothing in it.
    emptiness: String,
    logs: Vec<Log>,
    /// There are more.
    is_cut: bool,
}

#[derive(Debug)]
struct Log {
    name: PathBuf,
    size: u64,
    changed: SystemTime,
    modified: SystemTime,
}

/// Lists the files in `dir`, and `own`, which is in another directory; except those that can't be read.
pub(crate) fn read(dir: &Path, own: Option<&(PathBuf, PathBuf)>) -> List {
    let what = if dir.is_dir() { "There is no log yet in" } else { "There is no directory" };
    let emptiness = format!("{what} {}.", dir.display());
    let mut list = List { emptiness, logs: Vec::new(), is_cut: false };
    list.go_into(dir, Path::new(""), 0);
    if let Some((dir, name)) = own {
        list.logs.retain(|log| log.name != *name);
        list.logs.extend(open_inside(dir, name).ok().map(|(_, facts)| Log::new(name.clone(), &facts)));
    }
    list.logs.sort_by(|one, other| one.name.cmp(&other.name));
    list
}

impl List {
    fn go_into(&mut self, dir: &Path, below: &Path, depth: usize) {
        let Ok(entries) = read_dir(dir.join(below)) else { return };
        for entry in entries.flatten() {
            if self.logs.len() >= ENTRIES {
                self.is_cut = true;
                return;
            }
            let (name, Ok(kind)) = (below.join(entry.file_name()), entry.file_type()) else { continue };
            let facts = if kind.is_file() {
                entry.metadata().ok()
            } else if kind.is_symlink() {
                open_inside(dir, &name).ok().map(|(_, facts)| facts)
            } else {
                if kind.is_dir() && depth < DEPTH {
                    self.go_into(dir, &name, depth + 1);
                }
                None
            };
            self.logs.extend(facts.map(|facts| Log::new(name, &facts)));
        }
    }

    pub(crate) fn json(&self) -> Value {
        let log = |log: &Log| {
            json!({
                "name": log.name.to_string_lossy(),
                "href": format!("/logs/{}", Encoded(&log.name)),
                "size": log.size,
                "ctime": iso(log.changed),
                "mtime": iso(log.modified),
            })
        };
        json!({ "logs": self.logs.iter().map(log).collect::<Vec<_>>(), "truncated": self.is_cut })
    }

    /// The list as a page that leads back to `home`.
    pub(crate) fn page(&self, home: &str) -> Subpage {
        let mut text = if self.logs.is_empty() {
            format!("<p>{}</p>\n", Escaped(&self.emptiness))
        } else {
            let columns = ["File", "Its end", "Bytes", "Written (mtime)", "Changed (ctime)"];
            table(&columns, self.logs.iter().map(Log::row))
        };
        if self.is_cut {
            text.push_str("<p>There are more, which are not shown.</p>\n");
        }
        Subpage::new("Logs", home, &text)
    }
}

impl Log {
    fn new(name: PathBuf, facts: &Metadata) -> Self {
        let changed = time(facts.ctime(), facts.ctime_nsec());
        let modified = time(facts.mtime(), facts.mtime_nsec());
        Self { name, size: facts.size(), changed, modified }
    }

    fn row(&self) -> String {
        let (link, name) = (Encoded(&self.name), self.name.to_string_lossy());
        let name = Escaped(&name);
        let end = if super::is_packed(&self.name) {
            String::new()
        } else {
            let label = |what: &str| format!("aria-label=\"{what} {name}\"");
            format!(
                "<a href=\"/logs/{link}?tail=100\" {}>last 100 lines</a>, <a href=\"/logs/{link}?follow=1\" {}>follow</a>",
                label("last 100 lines of"),
                label("follow")
            )
        };
        format!(
            "<tr><th class=\"text\" scope=\"row\"><a href=\"/logs/{link}\">{name}</a></th><td>{end}</td>\
             <td>{}</td><td>{}</td><td>{}</td></tr>\n",
            self.size,
            Time(self.modified),
            Time(self.changed)
        )
    }
}

fn time(seconds: i64, nanos: i64) -> SystemTime {
    let since = Duration::new(seconds.try_into().unwrap_or_default(), nanos.try_into().unwrap_or_default());
    SystemTime::UNIX_EPOCH + since
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, write};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_in_folders_are_listed_and_links_only_where_they_stay_inside() {
        let all = tempfile::tempdir().unwrap();
        let dir = all.path().join("logs");
        create_dir(&dir).unwrap();
        create_dir(dir.join("sub")).unwrap();
        write(dir.join("sub/b & c.log"), "12345").unwrap();
        write(dir.join("a\".log"), "").unwrap();
        write(all.path().join("secret"), "").unwrap();
        symlink("../secret", dir.join("out")).unwrap();
        symlink("sub/b & c.log", dir.join("current")).unwrap();
        symlink("..", dir.join("sub/up")).unwrap();
        let list = read(&dir, None);
        let json = list.json();
        let names: Vec<_> = json["logs"].as_array().unwrap().iter().map(|log| &log["name"]).collect();
        assert_eq!(names, ["a\".log", "current", "sub/b & c.log"]);
        assert_eq!(json["logs"][2]["href"], "/logs/sub/b%20%26%20c.log");
        assert_eq!((&json["logs"][2]["size"], &json["truncated"]), (&json!(5), &json!(false)));
        let page = list.logs.iter().map(Log::row).collect::<String>();
        assert!(
            page.contains("<a href=\"/logs/a%22.log\">a&quot;.log</a>") && !page.contains("secret"),
            "{page}"
        );
        assert!(read(&all.path().join("nowhere"), None).logs.is_empty());
        let own = (all.path().to_owned(), PathBuf::from("secret"));
        assert_eq!(read(&dir, Some(&own)).json()["logs"][2]["name"], "secret", "the one file from elsewhere");
    }
}
