// Command git-server serves the bare Git repositories below a folder over HTTP, to whoever can reach the address, for
// reading and writing: the Git server that Flux's own tests use.
//
//	git-server FOLDER ADDRESS
//
// A repository FOLDER/NAME.git is at http://ADDRESS/NAME.git. It answers with the `git` of the machine and needs no
// other program. To make the source unreachable, end it; started again with the same arguments it serves the same.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/fluxcd/gitkit"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "git-server: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("it takes a folder and an address, as in: git-server /srv/git 127.0.0.1:8080")
	}
	folder, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", args[1])
	if err != nil {
		return err
	}
	fmt.Printf("serving %s at http://%s\n", folder, listener.Addr())
	server := &http.Server{
		Handler:           gitkit.New(gitkit.Config{Dir: folder}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	return server.Serve(listener)
}
