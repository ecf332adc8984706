package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	_ "unsafe" // for go:linkname

	etcdversion "go.etcd.io/etcd/api/v3/version"
	k8sversion "k8s.io/component-base/version"
)

// A release of Kubernetes gets its version from linker flags. Whoever builds
// this program should not have to know them, so the same variables are filled
// here, from the version of the k8s.io/kubernetes module that was built in.
// Without it the server's /version and `kubectl version` would say v0.0.0.

//go:linkname kubeGitVersion k8s.io/component-base/version.gitVersion
var kubeGitVersion string

//go:linkname kubeGitMajor k8s.io/component-base/version.gitMajor
var kubeGitMajor string

//go:linkname kubeGitMinor k8s.io/component-base/version.gitMinor
var kubeGitMinor string

func init() {
	v := builtKubernetesVersion()
	parts := strings.SplitN(strings.TrimPrefix(v, "v"), ".", 3)
	if len(parts) != 3 {
		return // no module information: keep the placeholder
	}
	kubeGitVersion, kubeGitMajor, kubeGitMinor = v, parts[0], parts[1]
	// The package copied its variable when it was initialised, before us; the
	// copy only takes a value that agrees with the variable.
	if err := k8sversion.SetDynamicVersion(v); err != nil {
		panic(err)
	}
}

// builtKubernetesVersion is the version of the k8s.io/kubernetes module in
// this binary, or "" if the binary does not say.
func builtKubernetesVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == "k8s.io/kubernetes" {
			return dep.Version
		}
	}
	return ""
}

func printVersion(w io.Writer) {
	fmt.Fprintf(w, "kubernetes %s\netcd v%s\n%s\n", k8sversion.Get().GitVersion, etcdversion.Version, runtime.Version())
}
