package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dataDir is the folder that holds everything of one control plane. A second
// start on the same folder is the same cluster again.
type dataDir struct {
	path string
}

// openDataDir makes the folder if needed and takes it for this process alone.
// The kernel gives the lock back however the process ends, kill -9 included.
func openDataDir(path string) (*dataDir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, err
	}
	d := &dataDir{path: abs}
	// A bare descriptor, which nothing closes: an os.File would be closed, and
	// the lock lost, once it is garbage.
	lock, err := syscall.Open(d.file("lock"), syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.file("lock"), err)
	}
	if err := syscall.Flock(lock, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("another control plane is running on %s", abs)
	}
	return d, nil
}

// file is the absolute path of name in the folder.
func (d *dataDir) file(name ...string) string {
	return filepath.Join(append([]string{d.path}, name...)...)
}

// writeFile replaces a file in one step, so that a reader never sees half of it.
func (d *dataDir) writeFile(name string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(d.file(name)), 0o700); err != nil {
		return err
	}
	tmp := d.file(name + ".tmp")
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return err
	}
	return os.Rename(tmp, d.file(name))
}

// The ports to pick from lie below the range that Linux uses for outgoing
// connections (from 32768), so that no connection of a busy test machine can
// sit on a remembered port while the control plane is down.
const (
	firstPort = 20000
	lastPort  = 32767
)

// listen opens the API server's port and remembers it in the folder. It holds
// the open listener from here on, so that of several control planes that start
// at once no two can pick the same port.
//
// wanted 0 means the remembered port or, at the first start, a free one.
func (d *dataDir) listen(ip net.IP, wanted int) (net.Listener, error) {
	const name = "port"
	if wanted == 0 {
		text, err := os.ReadFile(d.file(name))
		switch {
		case err == nil:
			wanted, err = strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				return nil, fmt.Errorf("the remembered port in %s is not a number: %w", d.file(name), err)
			}
		case !errors.Is(err, os.ErrNotExist):
			return nil, err
		}
	}

	open := func(port int) (net.Listener, error) {
		return net.Listen("tcp", net.JoinHostPort(ip.String(), strconv.Itoa(port)))
	}
	var listener net.Listener
	var err error
	if wanted != 0 {
		listener, err = open(wanted)
	} else {
		for range 100 {
			listener, err = open(firstPort + rand.IntN(lastPort-firstPort+1))
			if !errors.Is(err, syscall.EADDRINUSE) {
				break
			}
		}
	}
	if err != nil {
		return nil, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := d.writeFile(name, []byte(strconv.Itoa(port)+"\n"), 0o600); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}
