package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

// runKubectl behaves as the kubectl of the built-in version given args. It
// exits by itself on an error, with kubectl's own exit code.
func runKubectl(args []string) int {
	// kubectl reads its arguments, and looks for plugins, from os.Args.
	os.Args = append([]string{"kubectl"}, args...)
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
	return 0
}
