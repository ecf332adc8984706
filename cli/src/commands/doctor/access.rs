//! Whether the API server answers, what its clock says, and what it allows.

use super::finding::{Check, Finding};
use crate::cluster::{Controller, Session};
use crate::error::{CommandError, Shown};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;
use kube::client::Body;
use privyseal_custody::published::CONFIG_MAP;

/// What the API server's answer said of its clock.
pub(super) struct Answered {
    /// Its time, to the second below. None if it did not say.
    date: Option<Timestamp>,
    before: Timestamp,
    after: Timestamp,
}

/// Asks for the version, which everybody may see. An error means that the cluster cannot be asked anything.
pub(super) async fn reach(session: &Session) -> Result<(Finding, Answered), CommandError> {
    let what = "connecting";
    let request = || http::Request::get("/version").body(Body::empty());
    let request = request().map_err(|error| session.error(what, &kube::Error::HttpError(error)))?;
    let before = Timestamp::now();
    let answer = session.client.send(request).await.map_err(|error| session.error(what, &error))?;
    let after = Timestamp::now();
    let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|date| date.timestamp());
    let server = Shown(&session.server).to_string();
    let said = match session.client.apiserver_version().await {
        Ok(version) => format!("{server} answers, Kubernetes {}", Shown(&version.git_version)),
        // It answered all the same.
        Err(kube::Error::Api(status)) if status.code == 403 => format!("{server} answers"),
        Err(error) => return Err(session.error(what, &error)),
    };
    Ok((Finding::ok(Check::ApiServer, said), Answered { date, before, after }))
}

impl Answered {
    /// The API server's time now, as far as it is known.
    pub(super) fn server_now(&self) -> Timestamp {
        let now = Timestamp::now();
        match self.date {
            Some(date) => date.checked_add(now.duration_since(self.after)).unwrap_or(now),
            None => now,
        }
    }

    pub(super) fn judge(&self) -> Finding {
        let Some(date) = self.date else {
            return Finding::skipped(
                Check::Clock,
                "the API server's answer has no date",
                "compare the clocks by hand",
            );
        };
        let seconds = self.distance(date).as_secs();
        match seconds > CLOCK_TOLERANCE {
            true => Finding::warning(
                Check::Clock,
                format!("this machine's clock and the API server's are {seconds} s apart"),
                "set the clock by NTP: keys are judged by their dates",
            ),
            false => Finding::ok(Check::Clock, "this machine's clock agrees with the API server's"),
        }
    }

    /// The second that the date names and the time of the request are both stretches of time.
    fn distance(&self, date: Timestamp) -> SignedDuration {
        let second = SignedDuration::from_secs(1);
        let behind = self.before.duration_since(date) - second;
        let ahead = date.duration_since(self.after);
        behind.max(ahead).max(SignedDuration::ZERO)
    }
}

/// A right, and what it is for.
struct Right {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: Option<&'static str>,
    /// In all namespaces if none.
    namespace: Option<String>,
    name: Option<String>,
    purpose: &'static str,
    /// Whether every user should have it.
    common: bool,
}

/// What who asks may do. The last one says whether the key Secrets may be listed.
pub(super) async fn rights(session: &Session, controller: Option<&Controller<'_>>) -> (Vec<Finding>, bool) {
    let namespace = || Some(session.namespace().to_owned());
    let right = |verb, group, resource, namespace, purpose| Right {
        verb,
        group,
        resource,
        subresource: None,
        namespace,
        name: None,
        purpose,
        common: false,
    };
    let secrets = right("list", "", "secrets", namespace(), "`keys list`, `keys rotate` and `keys retire`");
    let mut all = vec![
        Right {
            name: Some(CONFIG_MAP.to_owned()),
            common: true,
            ..right("get", "", "configmaps", namespace(), "`seal --context` and `keys fetch`")
        },
        right("list", "bitnami.com", "sealedsecrets", None, "`keys report`"),
    ];
    all.extend(controller.map(|controller| Right {
        subresource: Some("proxy"),
        name: Some(controller.proxied().to_owned()),
        ..right("create", "", "services", namespace(), "`verify`, and `reseal` without --key")
    }));
    let mut findings = Vec::new();
    for right in all {
        findings.push(right.judge(allowed(session, &right).await));
    }
    let may_list = allowed(session, &secrets).await;
    let lists = matches!(may_list, Ok(true));
    findings.push(secrets.judge(may_list));
    (findings, lists)
}

async fn allowed(session: &Session, right: &Right) -> Result<bool, CommandError> {
    let attributes = ResourceAttributes {
        verb: Some(right.verb.to_owned()),
        group: Some(right.group.to_owned()),
        resource: Some(right.resource.to_owned()),
        subresource: right.subresource.map(str::to_owned),
        namespace: right.namespace.clone(),
        name: right.name.clone(),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api = Api::<SelfSubjectAccessReview>::all(session.client.clone());
    let answer = api.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|error| session.error("a review of your rights", &error))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

impl Right {
    fn judge(&self, allowed: Result<bool, CommandError>) -> Finding {
        let text = self.to_text();
        match allowed {
            Ok(true) => Finding::ok(Check::Rights, format!("you may {text}")),
            Ok(false) if self.common => Finding::warning(
                Check::Rights,
                format!("you may not {text}, as every user should: {} take it", self.purpose),
                "the chart binds it to system:authenticated: look at the Role privyseal-published-keys",
            ),
            Ok(false) => Finding::skipped(
                Check::Rights,
                format!("you may not {text}"),
                format!("{} take it; ask for it if you need them", self.purpose),
            ),
            Err(error) => Finding::of_error(Check::Rights, &error),
        }
    }

    fn to_text(&self) -> String {
        let resource = match self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.resource),
            None => self.resource.to_owned(),
        };
        let name = self.name.as_ref().map_or_else(String::new, |name| format!(" {name}"));
        let place = match &self.namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None => "in all namespaces".to_owned(),
        };
        format!("{} {resource}{name} {place}", self.verb)
    }
}

/// In seconds. Less than what matters to anybody.
const CLOCK_TOLERANCE: i64 = 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    fn clock(date: &str, before: &str, after: &str) -> Level {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let date = jiff::fmt::rfc2822::parse(date).unwrap().timestamp();
        Answered { date: Some(date), before: time(before), after: time(after) }.judge().level
    }

    #[test]
    fn only_what_the_request_cannot_explain_is_a_difference() {
        let date = "Tue, 24 Nov 2026 12:00:00 GMT";
        assert_eq!(clock(date, "2026-11-24T12:00:00.9Z", "2026-11-24T12:00:01.5Z"), Level::Ok);
        // The date is that of the whole second.
        assert_eq!(clock(date, "2026-11-24T12:00:31.5Z", "2026-11-24T12:00:31.6Z"), Level::Ok);
        // A slow answer is no wrong clock.
        assert_eq!(clock(date, "2026-11-24T11:59:00Z", "2026-11-24T12:01:00Z"), Level::Ok);
        assert_eq!(clock(date, "2026-11-24T12:00:40Z", "2026-11-24T12:00:41Z"), Level::Warning);
        assert_eq!(clock(date, "2026-11-24T11:59:20Z", "2026-11-24T11:59:21Z"), Level::Warning);
        let silent = Answered { date: None, before: Timestamp::UNIX_EPOCH, after: Timestamp::UNIX_EPOCH };
        assert_eq!(silent.judge().level, Level::Skipped);
    }

    #[test]
    fn a_right_that_few_need_is_no_fault_where_it_is_missing() {
        let right = |common| Right {
            verb: "create",
            group: "",
            resource: "services",
            subresource: Some("proxy"),
            namespace: Some("ns".to_owned()),
            name: Some("http:it:http".to_owned()),
            purpose: "`verify`",
            common,
        };
        assert_eq!(
            right(false).judge(Ok(true)).what,
            "you may create services/proxy http:it:http in namespace ns"
        );
        assert_eq!(right(false).judge(Ok(false)).level, Level::Skipped);
        assert_eq!(right(true).judge(Ok(false)).level, Level::Warning);
        assert_eq!(right(true).judge(Err(CommandError::failed("x"))).level, Level::Problem);
    }
}
