//! What objects say while the leader has no publisher key, since its vault does not give it.
//!
//! Without that key no marker can be checked, so nothing is known of an object whose status says that its Secret is right:
//! it is left as it is. All others are told why they wait. Nothing is opened, and the vault is not asked.

use crate::api::bounded;
use crate::outcome::Outcome;
use crate::queue::{Key, Next, Queue};
use crate::status;
use crate::tell::{Stop, Teller};
use kube::Api;
use kube::core::DeserializeGuard;
use privyseal_manifest::SealedSecret;
use std::sync::Arc;

/// Runs as long as the outcome holds, with so many objects in work at the same time.
pub(crate) async fn announce(teller: &Teller, queue: &Arc<Queue>, outcome: &Outcome, workers: usize) {
    futures::future::join_all((0..workers).map(|_| work(teller, queue, outcome))).await;
}

async fn work(teller: &Teller, queue: &Arc<Queue>, outcome: &Outcome) {
    loop {
        let work = queue.take().await;
        teller.index.lock().begin(work.key());
        let next = match visit(teller, work.key(), outcome).await {
            Ok(Next::Wait) if teller.index.lock().is_overtaken(work.key()) => Next::Again,
            Ok(next) => next,
            Err(Stop::Silent) => Next::Wait,
            Err(Stop::Conflict) => Next::Again,
            Err(Stop::Later) => Next::Retry,
        };
        work.end(next);
    }
}

async fn visit(teller: &Teller, key: &Key, outcome: &Outcome) -> Result<Next, Stop> {
    let api = Api::<DeserializeGuard<SealedSecret>>::namespaced(teller.client.clone(), &key.namespace);
    let object = match bounded(api.get_opt(&key.name)).await {
        Ok(Some(DeserializeGuard(Ok(object)))) => object,
        // One that does not decode is told of when it has its turn.
        Ok(_) => return Err(Stop::Silent),
        Err(_) => return Ok(Next::Retry),
    };
    let (metadata, before) = (object.metadata, object.status);
    let says_synced = before.as_ref().is_some_and(|status| status::is_synced(status, metadata.generation));
    if says_synced || metadata.deletion_timestamp.is_some() {
        return Err(Stop::Silent);
    }
    // Who asks for a pass is answered by one.
    teller.tell(key, &metadata, before.as_ref(), outcome, None).await
}
