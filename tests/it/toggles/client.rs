//! The HTTP client that every edge uses.

use pilotlight::http::{HttpError, Method, Request};

use super::provider::{Provider, Say};
use super::support::*;

#[tokio::test(flavor = "current_thread")]
async fn a_redirect_of_the_api_is_not_followed_and_a_huge_answer_is_cut_off() {
    let provider = Provider::start([
        Say::text(302, "").with("location", "http://127.0.0.1:1/"),
        Say::text(200, &"x".repeat(2 * 1024 * 1024)),
    ])
    .await;
    let (http, url) = (http(), provider.base_url());
    assert_eq!(http.send(Request::new(Method::GET, &url)).await.unwrap().status, 302);
    let error = http.send(Request::new(Method::GET, &url)).await.unwrap_err();
    assert_eq!(error, HttpError::TooLarge);
}

#[tokio::test(flavor = "current_thread")]
async fn a_refused_connection_names_no_address() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/secret-path");
    let error = http().send(Request::new(Method::GET, &url)).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect(_)), "{error:?}");
    let words = format!("{error} {error:?}");
    assert!(
        !words.contains("secret-path") && !words.contains("127.0.0.1"),
        "{words}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn r18_warming_leaves_a_connection_that_the_next_call_uses() {
    let provider = Provider::start([Say::text(404, ""), Say::text(200, "{}")]).await;
    let (http, url) = (http(), provider.base_url());
    http.warm(&url).await.unwrap();
    http.send(Request::new(Method::GET, &url)).await.unwrap();
    assert_eq!(provider.lines(), ["HEAD /", "GET /"]);
    assert_eq!(provider.connections(), 1);
}
