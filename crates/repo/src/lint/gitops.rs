//! What a tool makes of SealedSecrets that several files speak of: generated Secrets, references, copies, and whether
//! Flux waits.

use super::Tree;
use super::builds::{Build, GeneratedIn};
use super::code::Code;
use super::file::CheckedFile;
use super::finding::Finding;
use super::flux::FluxKustomization;
use super::listings::Listings;
use super::sealed::SealedFact;
use privyseal_envelope::Scope;
use std::collections::BTreeSet;

impl Tree<'_> {
    pub(super) fn gitops(&self, out: &mut Vec<Finding>) {
        let listings = Listings::new(self.files);
        for file in self.files.iter().filter(|file| file.asked_for) {
            for sealed in &file.sealed {
                self.left_behind(file, sealed, out);
            }
            listings.check(file, out);
            self.copied(file, out);
            self.secret_files(file, out);
        }
        for (_, flux) in self.flux.iter().filter(|(file, _)| file.asked_for) {
            self.flux(flux, out);
        }
        for generated in self.builds.generated() {
            if self.by_within.get(generated.by).is_some_and(|file| file.asked_for) {
                self.generated(generated, out);
                sealed_too_early(generated, out);
            }
        }
    }

    /// Kustomize renames a SealedSecret, and what refers to its Secret does not know.
    fn left_behind(&self, file: &CheckedFile, sealed: &SealedFact, out: &mut Vec<Finding>) {
        if self.builds.is_patch(&file.within) || sealed.name.is_empty() {
            return;
        }
        for build in self.builds.of(&file.within) {
            let renamed = sealed.needs_hash || build.name_by.is_some();
            if build.unknown || !renamed || self.builds.follow(&build.root) {
                continue;
            }
            let Some(from) = self.refers(&build.root, sealed) else { continue };
            let by = build.name_by.as_deref().unwrap_or(&build.root);
            let message = format!(
                "{by} renames it, and {} refers to its Secret as {}: Kustomize does not know that the two belong together",
                from.path, sealed.name
            );
            out.push(
                sealed
                    .at_name
                    .finding(Code::LeftBehind, message)
                    .cure("name `deploy/kustomize/name-references.yaml` of Privyseal under `configurations`"),
            );
            return;
        }
    }

    /// A file of the build with a reference to the Secret by the name that stands in the files.
    fn refers(&self, root: &str, sealed: &SealedFact) -> Option<&CheckedFile> {
        let files = self.builds.files_of(root)?.iter();
        let mut files = files.filter_map(|path| self.by_within.get(path.as_str()).copied());
        files.find(|file| {
            file.references.iter().any(|reference| {
                let same = reference.namespace.is_none()
                    || sealed.namespace.is_none()
                    || reference.namespace == sealed.namespace;
                reference.name == sealed.name && same
            })
        })
    }

    /// A generator and a SealedSecret make one Secret.
    fn generated(&self, made: &GeneratedIn<'_>, out: &mut Vec<Finding>) {
        let GeneratedIn { generated, build, .. } = made;
        let (name, namespace) = named(build, &generated.name, generated.namespace.as_deref());
        let Some(files) = self.builds.files_of(&build.root).filter(|_| !build.unknown) else { return };
        let of_build = files.iter().filter_map(|path| Some((path, self.by_within.get(path.as_str())?)));
        for (path, file) in of_build {
            let builds = self.builds.of(path).iter().filter(|of_file| of_file.root == build.root);
            let same = |of_file: &Build, sealed: &SealedFact| {
                let (other, other_namespace) = named(of_file, &sealed.name, sealed.namespace.as_deref());
                let apart = namespace.is_some() && other_namespace.is_some() && namespace != other_namespace;
                !of_file.unknown && other == name && !apart
            };
            let is_same = |of_file: &Build| file.sealed.iter().any(|sealed| same(of_file, sealed));
            if self.builds.is_patch(path) || !builds.into_iter().any(is_same) {
                continue;
            }
            let message = if generated.hashed {
                format!(
                    "it makes a Secret {name} with a hash, and {} has a SealedSecret of the name: references go to the former",
                    file.path
                )
            } else {
                format!(
                    "it makes a Secret {name}, and so does the SealedSecret of {}: the controller leaves alone what it did not make",
                    file.path
                )
            };
            out.push(generated.at.finding(Code::Generated, message).cure("remove one of the two"));
            return;
        }
    }

    /// A Secret of files that everybody can read. One that Git ignores is not in the tree.
    fn secret_files(&self, file: &CheckedFile, out: &mut Vec<Finding>) {
        for made in file.kustomization.iter().flat_map(|kustomization| &kustomization.secret_files) {
            let is_plain = |other: &CheckedFile| match made.lines {
                true => other.readable.lines,
                false => other.readable.whole,
            };
            let named = made.paths.iter().filter_map(|path| self.by_within.get(path.as_str()));
            let plain: Vec<&str> =
                named.filter(|other| is_plain(other)).map(|other| other.path.as_str()).collect();
            if !plain.is_empty() {
                let message = format!("a Secret is made of plain text in {}", plain.join(", "));
                out.push(made.at.finding(Code::PlainLiteral, message).cure(
                    "take the file out of Git, seal the Secret and list that, and change the values: whoever has the \
                     repository has them",
                ));
            }
        }
    }

    /// A strict value does not open under another name.
    fn copied(&self, file: &CheckedFile, out: &mut Vec<Finding>) {
        for copied in file.kustomization.iter().flat_map(|kustomization| &kustomization.copied) {
            let lists = |files: &BTreeSet<String>| {
                let files = files.iter().filter_map(|path| self.by_within.get(path.as_str()));
                let mut sealed = files.flat_map(|file| &file.sealed);
                sealed.any(|sealed| sealed.name == copied.name && sealed.scope == Scope::Strict)
            };
            if !self.builds.files().any(|(_, files)| lists(files)) {
                continue;
            }
            let message = format!(
                "it copies a sealed value of {}, which is bound to that name: it will not open elsewhere",
                copied.name
            );
            out.push(
                copied
                    .at
                    .finding(Code::MovedValue, message)
                    .cure("seal the value for the other object too, or seal it namespace-wide"),
            );
        }
    }

    /// Whether a seal that does not open turns the Kustomization of Flux red, and whether a bad commit costs Secrets.
    fn flux(&self, flux: &FluxKustomization, out: &mut Vec<Finding>) {
        // One of the two is as it should be.
        let is_told = flux.waits == flux.checks;
        if !(is_told || flux.forces) || !self.applies_sealed(flux) {
            return;
        }
        if flux.forces {
            let message = "where the API server refuses a change, be it for a bad label, Flux deletes the SealedSecret, and \
                           its Secret goes with it";
            out.push(flux.at_force.finding(Code::FluxForces, message.to_owned()).cure(
                "remove `force: true`, and annotate the objects that need it with \
                 `kustomize.toolkit.fluxcd.io/force: Enabled`",
            ));
        }
        if !is_told {
            return;
        }
        out.push(if flux.waits {
            let message = "with `wait: true` Flux checks all that it applied, and ignores this list";
            flux.at_wait
                .finding(Code::FluxIgnoresChecks, message.to_owned())
                .cure("remove the list, or `wait`")
        } else {
            let folder = if flux.folder.is_empty() { "the repository" } else { &flux.folder };
            let expressions =
                if flux.expressions { "; `healthCheckExprs` alone makes Flux wait for nothing" } else { "" };
            let message = format!(
                "{folder} holds SealedSecrets, and one that does not open will not turn this red{expressions}"
            );
            flux.at.finding(Code::FluxDoesNotWait, message).cure("write `wait: true` in its spec")
        });
    }

    fn applies_sealed(&self, flux: &FluxKustomization) -> bool {
        let own = self.files.iter().find(|file| file.kustomization.is_some() && flux.builds(&file.within));
        let holds = |path: &str| self.by_within.get(path).is_some_and(|file| file.sealed_count > 0);
        match own {
            // One that another lists is not looked through.
            Some(own) => {
                self.builds.files_of(&own.within).is_some_and(|files| files.iter().any(|path| holds(path)))
            }
            None => self.files.iter().any(|file| file.sealed_count > 0 && flux.covers(&file.within)),
        }
    }
}

/// A name that changes after the values were bound to it.
fn sealed_too_early(made: &GeneratedIn<'_>, out: &mut Vec<Finding>) {
    let GeneratedIn { generated, sealed_by: Some((by, renamed_by)), .. } = made else { return };
    if generated.wide {
        return;
    }
    let (message, cure) = match renamed_by {
        _ if generated.hashed => (
            format!(
                "{by} has it sealed, and Kustomize appends a hash to the name after that: it will not open"
            ),
            "write `disableNameSuffixHash: true`, or seal it namespace-wide",
        ),
        Some(renamed_by) => (
            format!("{by} has it sealed, and {renamed_by} changes the name after that: it will not open"),
            "let the outermost kustomization seal, or seal it namespace-wide",
        ),
        None => return,
    };
    out.push(generated.at.finding(Code::SealedTooEarly, message).cure(cure));
}

/// What an object is called in a build.
fn named(build: &Build, name: &str, namespace: Option<&str>) -> (String, Option<String>) {
    let namespace = build.namespace.as_deref().or(namespace);
    (format!("{}{name}{}", build.prefix, build.suffix), namespace.map(str::to_owned))
}
