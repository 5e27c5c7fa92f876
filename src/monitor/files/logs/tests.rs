//! What a query asks of a log.

use super::*;

#[test]
fn a_query_asks_for_the_file_its_end_or_what_comes() {
    for (query, asked) in [
        ("", Some(Asked::File)),
        ("x=1&follow=0", Some(Asked::File)),
        ("tail=0", Some(Asked::Tail(0))),
        ("tail=100000", Some(Asked::Tail(100_000))),
        ("follow=1", Some(Asked::Follow(10))),
        ("follow=true&tail=3", Some(Asked::Follow(3))),
        ("tail=", None),
        ("tail=-1", None),
        ("tail=1.5", None),
        ("tail=100001", None),
        ("tail=99999999999999999999999", None),
        ("follow=1&tail=%31", None),
    ] {
        assert_eq!(Asked::read(query), asked, "{query}");
    }
}
