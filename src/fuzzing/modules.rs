//! `/deps`: what the manifests of modules say, which may be anybody's.
//!
//! The bytes are the `package.json` of the application, and of a module that it has. Outside lies a module that no answer may
//! mention, and inside are folders by which it could be reached.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::Value;

use super::scratch::Scratch;
use crate::monitor::files::deps::{read, write};

const OUTSIDE: &str = "word-of-the-outside";

struct World {
    app: PathBuf,
    _scratch: Scratch,
}

thread_local! {
    static WORLD: World = World::new();
}

impl World {
    fn new() -> Self {
        let scratch = Scratch::new("modules");
        let app = scratch.path().join("app");
        let manifest =
            |name: &str| format!(r#"{{"name":"{name}","version":"1.0.0","description":"{name}"}}"#);
        for (folder, name) in [
            ("app/node_modules/one", "one"),
            ("app/node_modules/@scope/two", "two"),
            ("app/node_modules/.hidden", OUTSIDE),
            ("outside", OUTSIDE),
            ("app/lib", OUTSIDE),
        ] {
            fs::create_dir_all(scratch.path().join(folder)).unwrap();
            fs::write(scratch.path().join(folder).join("package.json"), manifest(name)).unwrap();
        }
        let own = app.join("node_modules/one/package.json");
        fs::remove_file(&own).unwrap();
        symlink(app.join("package.json"), own).unwrap();
        // A link that somebody has made on purpose is followed, as Node does.
        symlink("one", app.join("node_modules/linked")).unwrap();
        Self { app, _scratch: scratch }
    }
}

/// Names lead to modules and nowhere else, and the answer has a bounded size.
pub fn check(bytes: &[u8]) {
    WORLD.with(|world| {
        fs::write(world.app.join("package.json"), bytes).unwrap();
        let tree = read::read(&world.app);
        assert!(tree.modules.len() <= 3, "{:?}", tree.modules);
        let is_said = String::from_utf8_lossy(bytes).contains("word-of") || bytes.contains(&b'\\');
        let (json, page) = (write::json(&tree), write::page(&tree));
        assert!(is_said || !json.to_string().contains(OUTSIDE), "{json}");
        assert!(is_said || !page.contains(OUTSIDE), "{page}");
        assert!(!page.to_ascii_lowercase().contains("<script") && !page.contains('\u{1b}'));
        assert!(depth(&json) <= 300 && page.len() <= 20_000 + 40 * bytes.len());
    });
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}
