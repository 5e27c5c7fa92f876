//! The outer form of every answer: its body's type and the headers that none may lack. Called by the routes.

use std::io;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

/// What an answer's body is: bytes at hand, or a stream that goes on for as long as someone listens.
pub type Body = Pin<Box<dyn hyper::body::Body<Data = Bytes, Error = io::Error>>>;

/// Nothing may be loaded, framed or run on behalf of an answer; a page allows itself more by name.
const NOTHING_ALLOWED: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// For every answer: it is what its type says, it tells other sites nothing, and it is out of date at once.
const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, NOTHING_ALLOWED),
];

/// An answer whose whole body is at hand.
pub(crate) fn whole(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let body: Bytes = body.into();
    let length = HeaderValue::from(body.len());
    // Said by hand, so that HEAD gives the length of what GET would send.
    let mut response =
        stream(status, content_type, Box::pin(Full::new(body).map_err(|never| match never {})));
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
}

/// An answer whose body comes bit by bit.
pub(crate) fn stream(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.extend(ALWAYS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Marks an answer that ends when its client closes its side of the connection, which no other answer minds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndsWithClient {
    /// It may never end by itself.
    Only,
    /// It ends by itself as well.
    Also,
}

/// An answer whose body goes on for as long as the client listens.
pub(crate) fn endless(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = stream(StatusCode::OK, content_type, body);
    response.extensions_mut().insert(EndsWithClient::Only);
    response
}

/// A short sentence. It never repeats what the client sent.
pub(crate) fn text(status: StatusCode, sentence: &'static str) -> Response<Body> {
    whole(status, "text/plain; charset=utf-8", sentence)
}

/// A body whose parts are made one after another, each once there is room for it; an error cuts the connection off. A step
/// gives the next part and what the one after it is made from, or `None` at the end.
pub(crate) fn unfold<S, F>(state: S, step: impl FnMut(S) -> F + 'static) -> Body
where
    S: 'static,
    F: Future<Output = Option<(io::Result<Bytes>, S)>> + 'static,
{
    let parts = futures_util::stream::unfold(state, step);
    Box::pin(StreamBody::new(parts.map_ok(Frame::data)))
}
