// Command control-plane runs a real Kubernetes control plane, etcd,
// kube-apiserver and the controllers that Privyseal's tests need, in one
// process, and carries the kubectl of the same version.
package main

import (
	"fmt"
	"os"
)

const usage = `control-plane runs a real Kubernetes control plane in one process.

  control-plane up --data-dir DIR [flags]   run it in the foreground ("up --help" lists the flags)
  control-plane kubectl ARGS...             the kubectl of the same version
  control-plane version                     the versions built in
`

func main() {
	os.Exit(run(os.Args[1:]))
}

// run picks the subcommand and returns the exit code.
func run(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	switch args[0] {
	case "up":
		return runUp(args[1:])
	case "kubectl":
		return runKubectl(args[1:])
	case "version", "--version":
		printVersion(os.Stdout)
		return 0
	case "help", "--help", "-h":
		fmt.Print(usage)
		return 0
	}
	fmt.Fprintf(os.Stderr, "control-plane: unknown subcommand %q\n\n%s", args[0], usage)
	return 2
}
