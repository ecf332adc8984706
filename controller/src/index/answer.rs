//! What our own writes answer, beside what the watch tells: pure.
//!
//! Answer and watch come over different connections, and nothing orders resourceVersions for us. So a write that
//! somebody made right after ours may be told before the answer to ours is there, and an answer that came in last would
//! hide it for good: no later event comes. Hence what the watch told is never overwritten. An answer stands beside it,
//! only if the watch told nothing of the object since the pass began, and only until it tells something.

/// The answer to our last write of one object.
#[derive(Debug)]
pub(super) struct Answer<T> {
    answer: Option<T>,
    /// Whether the watch told nothing since the pass began.
    is_quiet: bool,
    /// Whether an answer of this pass came too late to count.
    is_overtaken: bool,
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self { answer: None, is_quiet: false, is_overtaken: false }
    }
}

impl<T> Answer<T> {
    /// A pass begins.
    pub(super) fn begin(&mut self) {
        (self.is_quiet, self.is_overtaken) = (true, false);
    }

    /// The watch tells of the object. Gives the answer that it might be the echo of.
    pub(super) fn told(&mut self) -> Option<T> {
        self.is_quiet = false;
        self.answer.take()
    }

    /// A write was answered. `is_echoed` says that this very state is the last that the watch told.
    pub(super) fn note(&mut self, answer: T, is_echoed: bool) {
        self.is_overtaken = !self.is_quiet && !is_echoed;
        self.answer = Some(answer).filter(|_| self.is_quiet && !is_echoed);
    }

    /// The answer, if it is newer than what the watch told.
    pub(super) fn newest(&self) -> Option<&T> {
        self.answer.as_ref()
    }

    /// Whether the pass has to be made again, since nobody knows which was first: its write or what the watch told.
    pub(super) fn is_overtaken(&self) -> bool {
        self.is_overtaken
    }
}
