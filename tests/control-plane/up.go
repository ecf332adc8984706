package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/klog/v2"
)

// stopLimit is how long stopping may take. What is written is safe by then
// anyway: a slow client holding on to the API server must not hold the test.
const stopLimit = 5 * time.Second

var errStopped = errors.New("asked to stop")

type upOptions struct {
	dataDir        string
	bind           net.IP
	advertise      net.IP
	port           int
	startTimeout   time.Duration
	stopOnStdinEOF bool
	verbosity      int
}

func parseUpOptions(args []string) (upOptions, error) {
	var o upOptions
	var bind, advertise string
	flags := flag.NewFlagSet("control-plane up", flag.ContinueOnError)
	flags.StringVar(&o.dataDir, "data-dir", "", "folder of this control plane; made if it does not exist (required)")
	flags.StringVar(&bind, "bind-address", "127.0.0.1", "IP address that the API server listens on")
	flags.StringVar(&advertise, "advertise-address", "", "IP address given out as the API server's (default: the bind address)")
	flags.IntVar(&o.port, "port", 0, "the API server's port; 0: the one of the last start, or a free one at the first")
	flags.DurationVar(&o.startTimeout, "start-timeout", 120*time.Second, "give up and exit 1 if not ready by then")
	flags.BoolVar(&o.stopOnStdinEOF, "stop-on-stdin-eof", false, "stop when stdin ends, as it does when the process that holds its other end dies")
	flags.IntVar(&o.verbosity, "v", 0, "how much Kubernetes logs (0 to 10)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.dataDir == "" {
		return o, errors.New("--data-dir is required")
	}
	if o.bind = net.ParseIP(bind); o.bind == nil {
		return o, fmt.Errorf("--bind-address: %q is not an IP address", bind)
	}
	switch {
	case advertise != "":
		if o.advertise = net.ParseIP(advertise); o.advertise == nil {
			return o, fmt.Errorf("--advertise-address: %q is not an IP address", advertise)
		}
	case o.bind.IsUnspecified():
		o.advertise = net.IPv4(127, 0, 0, 1)
	default:
		o.advertise = o.bind
	}
	if o.port < 0 || o.port > 65535 {
		return o, fmt.Errorf("--port: %d is not a port", o.port)
	}
	return o, nil
}

func runUp(args []string) int {
	o, err := parseUpOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "control-plane up:", err)
		return 2
	}

	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		stop(errStopped)
		<-signals // asked twice
		os.Exit(1)
	}()
	if o.stopOnStdinEOF {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			stop(errStopped)
		}()
	}

	p := &progress{began: time.Now()}
	err = up(ctx, o, p)
	if err != nil && !errors.Is(err, errStopped) {
		fmt.Fprintln(os.Stderr, "control-plane up:", err)
		return 1
	}
	p.step("stopped")
	return 0
}

// progress tells on stderr what has been reached and when.
type progress struct{ began time.Time }

func (p *progress) step(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %.1f s\n", fmt.Sprintf(format, args...), time.Since(p.began).Seconds())
}

// up runs the control plane until ctx ends or a part of it fails.
func up(ctx context.Context, o upOptions, p *progress) (err error) {
	d, err := openDataDir(o.dataDir)
	if err != nil {
		return err
	}
	// etcd's socket has a relative name.
	if err := os.Chdir(d.path); err != nil {
		return err
	}
	log, err := openLog(d.file("control-plane.log"), o.verbosity)
	if err != nil {
		return err
	}
	defer klog.Flush()

	starting := &startup{limit: o.startTimeout}
	starting.at("keys and certificates")
	startCtx, cancel := starting.context(ctx)
	defer cancel()

	listener, err := d.listen(o.bind, o.port)
	if err != nil {
		return err
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	hostPort := net.JoinHostPort(clientHost(o.bind, o.advertise).String(), strconv.Itoa(port))

	keys, err := preparePKI(d, serverAddresses(o))
	if err != nil {
		return err
	}
	adminConfig, err := writeKubeconfig(d, keys, hostPort)
	if err != nil {
		return err
	}
	client, err := adminClient(adminConfig)
	if err != nil {
		return err
	}
	p.step("keys and certificates ready, port %d", port)

	// The parts stop in the reverse of the order they start in: each needs the
	// one before it to end in order. A start that fails or is broken off just
	// ends the process, since kube-apiserver takes a stop while it is starting
	// for a fatal error; etcd's data bear that, as they bear kill -9.
	stopping := &shutdown{}

	starting.at("etcd")
	etcd, err := startEtcd(startCtx, d, log)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	stopping.then(etcd.Close)
	p.step("etcd ready")

	starting.at("kube-apiserver")
	serverErr, stopServer, err := runAPIServer(d, listener, o.advertise)
	if err != nil {
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	stopping.then(stopServer)
	if err := whileRunning(startCtx, etcd, serverErr, func(ctx context.Context) error {
		return waitForAPIServer(ctx, client)
	}); err != nil {
		return err
	}
	p.step("kube-apiserver ready")

	starting.at("controllers")
	config, err := controllerConfig(keys, hostPort)
	if err != nil {
		return err
	}
	if err := whileRunning(startCtx, etcd, serverErr, func(ctx context.Context) error {
		stopControllers, err := startControllers(ctx, d, keys, config)
		if err != nil {
			return err
		}
		stopping.then(stopControllers)
		return waitForDefaultNamespace(ctx, client)
	}); err != nil {
		return err
	}
	p.step("controllers ready")

	starting.done()
	defer stopping.run()
	fmt.Printf("ready %s\n", d.file(kubeconfigFile)) // os.Stdout has no buffer to flush

	return whileRunning(ctx, etcd, serverErr, func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
}

// serverAddresses are those that the API server's certificate is good for.
func serverAddresses(o upOptions) []net.IP {
	ips := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.ParseIP(serviceIP)}
	for _, ip := range []net.IP{o.bind, o.advertise} {
		if !ip.IsUnspecified() {
			ips = append(ips, ip)
		}
	}
	return ips
}

// runAPIServer starts the API server. The channel gets what it ends with.
func runAPIServer(d *dataDir, listener net.Listener, advertise net.IP) (<-chan error, func(), error) {
	ctx, cancel := context.WithCancel(context.Background())
	serve, err := prepareAPIServer(ctx, d, listener, advertise)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	ended := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		defer close(ended)
		result <- serve(ctx)
	}()
	return result, func() { cancel(); <-ended }, nil
}

// whileRunning does the work and cuts it short when etcd or the API server
// ends on its own, with the reason for that.
func whileRunning(ctx context.Context, etcd *embed.Etcd, serverErr <-chan error, work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case err := <-etcd.Err():
			cancel(fmt.Errorf("etcd ended: %w", err))
		case <-etcd.Server.StopNotify():
			cancel(errors.New("etcd ended"))
		case err := <-serverErr:
			if err == nil {
				err = errors.New("no reason given")
			}
			cancel(fmt.Errorf("kube-apiserver ended: %w", err))
		case <-finished:
		}
	}()
	return work(ctx)
}

// startup bounds the start as a whole and knows what it is at. A part that
// hangs without regard to its context is bounded too: a second after the limit
// the process ends, whatever it is doing.
type startup struct {
	limit time.Duration
	part  atomic.Value
	hard  *time.Timer
}

func (s *startup) at(part string) { s.part.Store(part) }

func (s *startup) context(ctx context.Context) (context.Context, context.CancelFunc) {
	s.hard = time.AfterFunc(s.limit+time.Second, func() {
		fmt.Fprintf(os.Stderr, "control-plane up: not ready after %s; still starting %s\n", s.limit, s.part.Load())
		os.Exit(1)
	})
	return context.WithTimeoutCause(ctx, s.limit, fmt.Errorf("not ready after %s", s.limit))
}

// done ends the watch over the start: it has succeeded or failed.
func (s *startup) done() { s.hard.Stop() }

// shutdown stops parts in the reverse of the order in which they were added.
type shutdown struct{ steps []func() }

func (s *shutdown) then(step func()) { s.steps = append(s.steps, step) }

func (s *shutdown) run() {
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for i := len(s.steps) - 1; i >= 0; i-- {
			s.steps[i]()
		}
	}()
	select {
	case <-finished:
	case <-time.After(stopLimit):
	}
}
