//! The modules that were found, as `npm ls` writes them, and as a table. Pure.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use serde_json::{Map, Value, json};

use super::read::{Module, Need, Tree};
use crate::monitor::views::html::Escaped;
use crate::monitor::views::subpage::table;

/// Modules within modules that are written at most, against stacks that overflow.
const DEPTH: usize = 100;
/// How many that need a module are named on the page.
const NAMED: usize = 3;

/// The tree in the shape of `npm ls --json`; a module stands with its own modules where it was found first.
pub(crate) fn json(tree: &Tree) -> Value {
    let mut all = tree.modules.first().map(|root| module(tree, root, 0)).unwrap_or_default();
    if tree.is_cut {
        all.insert("truncated".into(), true.into());
    }
    Value::Object(all)
}

fn module(tree: &Tree, module: &Module, depth: usize) -> Map<String, Value> {
    let mut object = Map::new();
    let texts = [("name", &module.name), ("version", &module.version), ("description", &module.description)];
    for (field, text) in texts {
        object.extend(text.as_ref().map(|text| (field.to_owned(), json!(text))));
    }
    object.insert("path".into(), json!(module.path.to_string_lossy()));
    object.insert("realPath".into(), json!(module.real.to_string_lossy()));
    object.insert("depth".into(), json!(depth));
    let needs = module.needs.iter().map(|(name, need)| (name.clone(), needed(tree, need, depth + 1)));
    object.insert("dependencies".into(), Value::Object(needs.collect()));
    object
}

fn needed(tree: &Tree, need: &Need, depth: usize) -> Value {
    let mut object = match need.module.and_then(|index| tree.modules.get(index)) {
        None => Map::from_iter([("missing".to_owned(), json!(true))]),
        Some(found) if need.is_first && depth < DEPTH => module(tree, found, depth),
        Some(found) => {
            let version = json!(found.version);
            Map::from_iter([("version".to_owned(), version), ("deduped".to_owned(), json!(true))])
        }
    };
    match &need.range {
        Some(range) => object.insert("required".into(), json!(range)),
        None => object.insert("extraneous".into(), json!(true)),
    };
    Value::Object(object)
}

/// The content of the page: a row for each module, and for each that is missing.
pub(crate) fn page(tree: &Tree) -> String {
    let mut rows: Vec<Row<'_>> = tree.modules.iter().map(|module| Row::new(tree, module)).collect();
    for module in &tree.modules {
        let needed = module.needs.values().filter(|need| need.range.is_some());
        for row in needed.filter_map(|need| need.module) {
            if let Some(row) = rows.get_mut(row) {
                row.needed_by.insert(name(module));
            }
        }
    }
    // The first is the application itself.
    let mut rows = rows.split_off(rows.len().min(1));
    rows.extend(missing(tree));
    rows.sort_by(|one, other| (one.name, &one.path).cmp(&(other.name, &other.path)));
    let mut text = match tree.modules.first() {
        Some(Module { name: Some(name), version, .. }) => {
            let version = version.as_deref().unwrap_or_default();
            format!("<p>{} {}: {} modules.</p>\n", Escaped(name), Escaped(version), rows.len())
        }
        Some(_) | None => format!("<p>{} modules.</p>\n", rows.len()),
    };
    text.push_str(&table(&["Module", "Version", "Needed by", "Folder"], rows.iter()));
    text
}

struct Row<'a> {
    name: &'a str,
    version: &'a str,
    is_missing: bool,
    needed_by: BTreeSet<&'a str>,
    path: String,
}

impl<'a> Row<'a> {
    fn new(tree: &'a Tree, module: &'a Module) -> Self {
        let root = tree.modules.first().map(|root| root.path.as_path());
        let path = root.and_then(|root| module.path.strip_prefix(root).ok()).unwrap_or(&module.path);
        Self {
            name: module.name.as_deref().unwrap_or("(no name)"),
            version: module.version.as_deref().unwrap_or_default(),
            is_missing: false,
            needed_by: BTreeSet::new(),
            path: path.to_string_lossy().into_owned(),
        }
    }
}

fn missing(tree: &Tree) -> Vec<Row<'_>> {
    let missing = tree.modules.iter().flat_map(|module| {
        let gone = module.needs.iter().filter(|(_, need)| need.module.is_none());
        gone.map(move |(missed, need)| Row {
            name: missed,
            version: need.range.as_deref().unwrap_or_default(),
            is_missing: true,
            needed_by: BTreeSet::from([name(module)]),
            path: String::new(),
        })
    });
    missing.collect()
}

fn name(module: &Module) -> &str {
    module.name.as_deref().unwrap_or("the application")
}

impl Display for Row<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<tr><th class=\"text\" scope=\"row\">{}</th><td>{}",
            Escaped(self.name),
            Escaped(self.version)
        )?;
        if self.is_missing {
            f.write_str(" <span class=\"poor\">missing</span>")?;
        }
        f.write_str("</td><td class=\"text\">")?;
        match self.needed_by.len() {
            0 => f.write_str("nobody")?,
            count => {
                let named: Vec<&str> = self.needed_by.iter().copied().take(NAMED).collect();
                write!(f, "{}", Escaped(&named.join(", ")))?;
                if count > NAMED {
                    write!(f, " and {} more", count - NAMED)?;
                }
            }
        }
        writeln!(f, "</td><td>{}</td></tr>", Escaped(&self.path))
    }
}
