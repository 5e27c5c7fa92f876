//! Reads which modules are installed, and which of them needs which, as Node would find them.
//!
//! From the application's `package.json` on, each module's dependencies are looked up in the `node_modules` of its own
//! folder and of those above it; a module is gone into once, where it is found first. Modules in the application's
//! `node_modules` that no module needs are listed as well. Links (npm link, workspaces, pnpm) are followed, as Node does.
//! Invariant: no file but those named `package.json` is read, and of a module that is not well formed no more is believed
//! than can be read.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{File, canonicalize, read_dir};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Modules that are gone into at most.
const MODULES: usize = 20_000;
/// How much of a `package.json` is read.
const MANIFEST: u64 = 1024 * 1024;

/// All that was found; the first is the application.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) modules: Vec<Module>,
    /// There are more.
    pub(crate) is_cut: bool,
}

/// An installed module, or the application.
#[derive(Debug, Default)]
pub(crate) struct Module {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) description: Option<String>,
    /// Where it was found.
    pub(crate) path: PathBuf,
    /// Where that really is.
    pub(crate) real: PathBuf,
    /// What it needs, by name.
    pub(crate) needs: BTreeMap<String, Need>,
}

/// A module that another one needs, or that the application has.
#[derive(Debug)]
pub(crate) struct Need {
    /// The versions that will do; `None` if no module needs it.
    pub(crate) range: Option<String>,
    /// The module's place in [`Tree::modules`]; `None` if it is missing.
    pub(crate) module: Option<usize>,
    /// It was found here first, and stands here with its own needs.
    pub(crate) is_first: bool,
}

/// Reads the modules of the application in `dir`.
pub(crate) fn read(dir: &Path) -> Tree {
    let mut reader = Reader { tree: Tree { modules: Vec::new(), is_cut: false }, known: HashMap::new() };
    let mut queue = VecDeque::new();
    let real = canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    reader.add(dir.to_owned(), real.clone(), manifest(dir).unwrap_or_default(), &mut queue);
    reader.work_off(&mut queue);
    for name in installed(&real.join("node_modules")) {
        reader.keep_if_unneeded(&real, name, &mut queue);
        reader.work_off(&mut queue);
    }
    reader.tree
}

/// A module whose needs have not been looked up yet.
type Waiting = (usize, Value);

struct Reader {
    tree: Tree,
    /// Modules by their real place.
    known: HashMap<PathBuf, usize>,
}

impl Reader {
    fn work_off(&mut self, queue: &mut VecDeque<Waiting>) {
        while let Some((index, manifest)) = queue.pop_front() {
            let Some(real) = self.tree.modules.get(index).map(|module| module.real.clone()) else { continue };
            for (name, (range, must_be_there)) in needs(&manifest, index == 0) {
                let found = self.find(&name, &real, queue);
                if found.is_none() && !must_be_there {
                    continue;
                }
                let (module, is_first) = found.map_or((None, false), |(index, is_new)| (Some(index), is_new));
                let need = Need { range: Some(range), module, is_first };
                if let Some(needing) = self.tree.modules.get_mut(index) {
                    needing.needs.insert(name, need);
                }
            }
        }
    }

    /// What `require(name)` in a module at `from` would find: its place among the modules, and whether it is new.
    fn find(&mut self, name: &str, from: &Path, queue: &mut VecDeque<Waiting>) -> Option<(usize, bool)> {
        let folders = from.ancestors().filter(|folder| !folder.ends_with("node_modules"));
        folders.map(|folder| folder.join("node_modules").join(name)).find_map(|path| self.open(path, queue))
    }

    fn open(&mut self, path: PathBuf, queue: &mut VecDeque<Waiting>) -> Option<(usize, bool)> {
        let real = canonicalize(&path).ok()?;
        if let Some(index) = self.known.get(&real) {
            return Some((*index, false));
        }
        let manifest = manifest(&real)?;
        if self.tree.modules.len() >= MODULES {
            self.tree.is_cut = true;
            return None;
        }
        Some((self.add(path, real, manifest, queue), true))
    }

    fn add(&mut self, path: PathBuf, real: PathBuf, manifest: Value, queue: &mut VecDeque<Waiting>) -> usize {
        let text = |field: &str| manifest.get(field).and_then(Value::as_str).map(str::to_owned);
        let (name, version, description) = (text("name"), text("version"), text("description"));
        let index = self.tree.modules.len();
        self.known.insert(real.clone(), index);
        let needs = BTreeMap::new();
        self.tree.modules.push(Module { name, version, description, path, real, needs });
        queue.push_back((index, manifest));
        index
    }

    fn keep_if_unneeded(&mut self, real: &Path, name: String, queue: &mut VecDeque<Waiting>) {
        let Some((index, true)) = self.open(real.join("node_modules").join(&name), queue) else { return };
        if let Some(application) = self.tree.modules.first_mut() {
            let need = Need { range: None, module: Some(index), is_first: true };
            application.needs.entry(name).or_insert(need);
        }
    }
}

/// Name, range, and whether its absence is worth a word, of all that a manifest says it needs.
fn needs(manifest: &Value, is_application: bool) -> BTreeMap<String, (String, bool)> {
    let mut needs = BTreeMap::new();
    let mut take = |field: &str, must_be_there: &dyn Fn(&str) -> bool| {
        let Some(fields) = manifest.get(field).and_then(Value::as_object) else { return };
        for (name, range) in fields.iter().filter(|(name, _)| is_name(name)) {
            let range = range.as_str().unwrap_or_default().to_owned();
            needs.insert(name.clone(), (range, must_be_there(name)));
        }
    };
    let is_optional_peer = |name: &str| {
        let meta = manifest.get("peerDependenciesMeta").and_then(|meta| meta.get(name));
        meta.and_then(|meta| meta.get("optional")).and_then(Value::as_bool) == Some(true)
    };
    if is_application {
        // They are left out of most installations.
        take("devDependencies", &|_| false);
    }
    take("peerDependencies", &|name| !is_optional_peer(name));
    take("dependencies", &|_| true);
    take("optionalDependencies", &|_| false);
    needs
}

/// The names in a `node_modules`, sorted.
fn installed(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for name in names(folder) {
        if name.starts_with('@') {
            all.extend(names(&folder.join(&name)).into_iter().map(|own| format!("{name}/{own}")));
        } else {
            all.push(name);
        }
    }
    all.retain(|name| is_name(name));
    all.sort();
    all
}

fn names(folder: &Path) -> Vec<String> {
    let entries = read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Whether a module can have that name; anything else might lead out of `node_modules`.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']);
    match name.split_once('/') {
        Some((scope, own)) => scope.len() > 1 && scope.starts_with('@') && is_part(own) && !own.contains('/'),
        None => is_part(name) && !name.starts_with('@'),
    }
}

/// The `package.json` of a folder; one that can't be parsed counts as empty.
fn manifest(folder: &Path) -> Option<Value> {
    let file = File::open(folder.join("package.json"))
        .ok()
        .filter(|file| file.metadata().is_ok_and(|it| it.is_file()))?;
    let mut text = Vec::new();
    file.take(MANIFEST).read_to_end(&mut text).ok()?;
    Some(serde_json::from_slice(&text).unwrap_or_default())
}
