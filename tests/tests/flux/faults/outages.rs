//! A source that cannot be reached.

use super::super::Place;
use super::without_wait;
use privyseal_tests::flux::{GitServer, git_repository};
use privyseal_tests::objects::wait_for_condition;
use serde_json::json;

#[tokio::test]
async fn without_its_source_all_stays_and_is_still_repaired() {
    let place = Place::new("source").await;
    // One that this test may end.
    let mut git = GitServer::start().await;
    let repository = git.repository("away");
    repository.write("sealed/db.yaml", &place.sealed("db", "first"));
    let revision = repository.commit("a password");
    let source = place.watched(&git_repository("away", &repository)).await;
    let app = place.watched(&without_wait("sealed", "away", "./sealed")).await;
    app.wait_ready(&revision).await;
    place.password("db", "first").await;
    wait_for_condition(&place.client, &place.namespace, "db", "Ready", "True").await;
    let uid = place.secret("db").await.metadata.uid;

    git.stop();
    source.reconcile().await;
    let red = source.wait_not_ready(None, "").await;
    assert_eq!(red.ready.reason, "GitOperationFailed", "{}", red.ready.message);
    let status = place.sealed_secret("db").await.data["status"].clone();
    // What was fetched before is what Flux goes on with.
    app.reconcile_until_ready().await;
    app.wait_ready(&revision).await;
    assert_eq!(place.sealed_secret("db").await.data["status"], status);
    place.edit_secret("db", json!({"data": {"password": "ZWRpdGVk"}})).await;
    place.password("db", "first").await;
    wait_for_condition(&place.client, &place.namespace, "db", "Ready", "True").await;
    assert_eq!(place.secret("db").await.metadata.uid, uid);

    repository.write("sealed/db.yaml", &place.sealed("db", "second"));
    let newer = repository.commit("another password");
    git.start_again().await;
    source.reconcile().await;
    source.wait_ready(&newer).await;
    app.wait_ready(&newer).await;
    place.password("db", "second").await;
    assert_eq!(place.secret("db").await.metadata.uid, uid);
}
