//! Who may go into the SDK: everybody while there is a token, and one at a time while there is none.
//!
//! The SDK holds a lock while it gets a token. Its lock (async-lock 3.5) has readers who wait for a writer wake each
//! other in circles: two of them keep a processor busy for as long as the token endpoint takes to answer, which is for
//! ever when it does not. So nobody is let in to wait there.

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::{Duration, OffsetDateTime};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The SDK gets a new token 5 minutes before the old one ends; whoever is under way then shall be through.
const BEFORE_THE_END: Duration = Duration::minutes(6);

/// The way in.
pub(super) struct Turns {
    lock: RwLock<()>,
    token: Arc<Freshness>,
}

/// Leave to be inside, until it is dropped.
pub(super) enum Turn<'a> {
    WithOthers { _guard: RwLockReadGuard<'a, ()> },
    Alone { _guard: RwLockWriteGuard<'a, ()> },
}

impl Turns {
    /// The credential to give to the SDK, and the way in to it.
    pub(super) fn watching(credential: Arc<dyn TokenCredential>) -> (Self, Arc<dyn TokenCredential>) {
        let token = Arc::<Freshness>::default();
        let watched = Watched { credential, token: Arc::clone(&token) };
        (Self { lock: RwLock::default(), token }, Arc::new(watched))
    }

    /// Waits for one's turn.
    pub(super) async fn take(&self) -> Turn<'_> {
        if !self.token.is_fresh() {
            let guard = self.lock.write().await;
            // The one before has got a token, perhaps: then the others need not wait for this one.
            if !self.token.is_fresh() {
                return Turn::Alone { _guard: guard };
            }
        }
        Turn::WithOthers { _guard: self.lock.read().await }
    }
}

/// Until when the latest token is good.
#[derive(Debug, Default)]
struct Freshness(Mutex<Option<OffsetDateTime>>);

impl Freshness {
    fn is_fresh(&self) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| until > OffsetDateTime::now_utc() + BEFORE_THE_END)
    }

    fn set(&self, until: Option<OffsetDateTime>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// A credential that notes until when its latest token is good.
#[derive(Debug)]
struct Watched {
    credential: Arc<dyn TokenCredential>,
    token: Arc<Freshness>,
}

#[async_trait]
impl TokenCredential for Watched {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        // Until there is another one, or if this is dropped, there is none.
        self.token.set(None);
        let token = self.credential.get_token(scopes, options).await?;
        self.token.set(Some(token.expires_on));
        Ok(token)
    }
}
