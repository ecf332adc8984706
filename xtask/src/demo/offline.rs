//! The half that needs no cluster: key, seal, inspect, unseal, refusals.

use anyhow::Result;

use super::story::Story;

/// The Secret of the whole story.
pub(super) const SECRET: &str = "\
apiVersion: v1
kind: Secret
metadata:
  name: db
  namespace: privyseal-demo
stringData:
  password: correct horse battery staple
";
pub(super) const PASSWORD: &str = "correct horse battery staple";
const PASSWORD_IN_BASE64: &str = "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==";

pub(super) fn tell(story: &Story) -> Result<()> {
    story.chapter("A key");
    story.say(
        "This half happens on this machine alone, without a cluster. In a cluster the controller makes the key and \
         keeps it. Here we make one ourselves: the certificate seals and may be known to all, the key opens.",
    );
    story.run("privyseal keys generate --out-file key.yaml --cert-out cert.pem")?;

    story.chapter("A Secret, sealed");
    story.say("This must never be committed: whoever can read the repository could read the password.");
    story.file("secret.yaml", SECRET)?;
    story.run("privyseal seal --cert cert.pem secret.yaml --out-file sealed.yaml")?;
    let sealed = story.run("cat sealed.yaml")?;
    story.claim("the sealed file does not hold the password", !holds_password(&sealed))?;

    story.chapter("What it is bound to");
    story.say("Anyone can ask that, offline and without a key.");
    story.run("privyseal inspect sealed.yaml")?;

    story.chapter("Unsealed, with the key");
    let opened = story.run("privyseal unseal --key key.yaml sealed.yaml")?;
    story.claim("it is the same password", holds_password(&opened))?;

    story.chapter("What is refused");
    story.say(
        "Somebody copies the sealed value into a namespace of their own, where they may read Secrets. It does not \
         open there, even with the right key: namespace and name are part of what was encrypted.",
    );
    story.run("sed 's/namespace: privyseal-demo/namespace: thief/' sealed.yaml > stolen.yaml")?;
    story.refused("privyseal unseal --key key.yaml stolen.yaml", 1)?;
    story.say("With the key at hand, inspect tells which of the possible reasons it is.");
    story.refused("privyseal inspect --key key.yaml --as privyseal-demo/db stolen.yaml", 1)?;

    story.say("Another key does not open it either.");
    story.run("privyseal keys generate --size 2048 --out-file other.yaml")?;
    story.refused("privyseal unseal --key other.yaml sealed.yaml", 1)?;

    story.say("And nothing is guessed: without a key that was named, nothing is sealed.");
    story.refused("privyseal seal secret.yaml", 2)
}

fn holds_password(text: &str) -> bool {
    text.contains(PASSWORD) || text.contains(PASSWORD_IN_BASE64)
}
