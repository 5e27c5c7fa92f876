//! One reading of the modules serves many, and an old one nobody.

use std::fs::write;

use super::*;

fn is_of(name: &str, found: &Found) -> bool {
    String::from_utf8_lossy(&found.json).contains(name)
}

#[tokio::test]
async fn one_reading_serves_all_who_ask_and_an_old_one_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("package.json");
    write(&manifest, r#"{"name":"first"}"#).unwrap();
    let mut deps = Deps::new(Some(dir.path().to_owned()));
    let (one, other) = tokio::join!(deps.found(), deps.found());
    let one = one.unwrap();
    assert!(is_of("first", &one) && Arc::ptr_eq(&one, &other.unwrap()));
    write(&manifest, r#"{"name":"second"}"#).unwrap();
    assert!(Arc::ptr_eq(&one, &deps.found().await.unwrap()));

    deps.fresh = Duration::ZERO;
    let done = Arc::clone(&deps.last);
    let done = done.done.notified();
    assert!(deps.look().is_none());
    done.await;
    deps.fresh = FRESH;
    assert!(is_of("second", &deps.found().await.unwrap()));
}
