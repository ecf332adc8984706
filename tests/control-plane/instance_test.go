package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// asProgram makes the test binary behave as the program itself: the packages
// behind it are big, and linking them once is enough.
const asProgram = "CONTROL_PLANE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func program(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// instance is a running control plane.
type instance struct {
	cmd        *exec.Cmd
	stdin      io.Closer
	stdout     *bufio.Reader
	stderr     *bytes.Buffer
	kubeconfig string
	config     *rest.Config
	client     kubernetes.Interface
	dynamic    dynamic.Interface
}

// start starts a control plane on dir and waits until it says that it is ready.
func start(t *testing.T, dir string, args ...string) *instance {
	t.Helper()
	began := time.Now()
	i := &instance{stderr: &bytes.Buffer{}}
	i.cmd = program(append([]string{"up", "--data-dir", dir, "--stop-on-stdin-eof"}, args...)...)
	i.cmd.Stderr = i.stderr
	var err error
	if i.stdin, err = i.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := i.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	i.stdout = bufio.NewReader(stdout)
	if err := i.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if i.cmd.ProcessState == nil {
			i.cmd.Process.Kill()
			i.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("stderr of %s:\n%s", dir, i.stderr)
		}
	})

	line, err := i.stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("no line on stdout: %v", err)
	}
	path, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !ok {
		t.Fatalf("stdout: %q", line)
	}
	i.kubeconfig = path
	t.Logf("ready after %.1f s", time.Since(began).Seconds())

	if i.config, err = clientcmd.BuildConfigFromFlags("", path); err != nil {
		t.Fatal(err)
	}
	if i.client, err = kubernetes.NewForConfig(i.config); err != nil {
		t.Fatal(err)
	}
	if i.dynamic, err = dynamic.NewForConfig(i.config); err != nil {
		t.Fatal(err)
	}
	return i
}

// wait waits for the end of the process after something has asked for it, and
// checks that it was an orderly one with nothing more on stdout.
func (i *instance) wait(t *testing.T) {
	t.Helper()
	began := time.Now()
	rest, _ := io.ReadAll(i.stdout)
	if err := i.cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if len(rest) > 0 {
		t.Errorf("more on stdout: %q", rest)
	}
	if took := time.Since(began); took > stopLimit+time.Second {
		t.Errorf("stopping took %s", took)
	} else {
		t.Logf("stopped after %.1f s", took.Seconds())
	}
}

// terminate stops it as an orderly caller does.
func (i *instance) terminate(t *testing.T) {
	t.Helper()
	i.cmd.Process.Signal(syscall.SIGTERM)
	i.wait(t)
}

// kill is kill -9.
func (i *instance) kill() {
	i.cmd.Process.Kill()
	i.cmd.Wait()
}

// kubectl runs the built-in kubectl as the administrator.
func (i *instance) kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := program(append([]string{"kubectl", "--kubeconfig", i.kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return string(out)
}

// eventually fails the test unless check succeeds within the limit; it says
// how long that took.
func eventually(t *testing.T, limit time.Duration, check func() error) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		err := check()
		took := time.Since(began)
		if err == nil {
			return took
		}
		if took > limit {
			t.Fatalf("not within %s: %v", limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
