package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/rest"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

const (
	serviceCIDR = "10.96.0.0/24"
	// serviceIP is the first address of serviceCIDR, the one that Kubernetes
	// gives to the service "kubernetes".
	serviceIP = "10.96.0.1"
	// issuer of service account tokens, and their audience unless a request
	// names others.
	issuer = "https://kubernetes.default.svc.cluster.local"
)

// prepareAPIServer reads the options of kube-apiserver the way its own command
// does, as flags, so that they can be looked up in its documentation. It does
// not use that command itself: the command installs its own signal handler and
// sets up logging.
func prepareAPIServer(ctx context.Context, d *dataDir, listener net.Listener, advertise net.IP) (func(context.Context) error, error) {
	address := listener.Addr().(*net.TCPAddr)
	args := []string{
		"--bind-address=" + address.IP.String(),
		"--secure-port=" + strconv.Itoa(address.Port),
		"--advertise-address=" + advertise.String(),
		"--tls-cert-file=" + d.file(serverCertFile),
		"--tls-private-key-file=" + d.file(serverKeyFile),

		"--etcd-servers=" + etcdEndpoint,
		// Metrics about etcd's size that nobody reads.
		"--etcd-count-metric-poll-period=0",
		"--etcd-db-metric-poll-interval=0",

		"--client-ca-file=" + d.file(caCertFile),
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=" + issuer,
		"--api-audiences=" + issuer,
		"--service-account-signing-key-file=" + d.file(saKeyFile),
		"--service-account-key-file=" + d.file(saPublicKeyFile),
		"--service-cluster-ip-range=" + serviceCIDR,
		"--allow-privileged=true",

		// For API servers behind the aggregation layer.
		"--requestheader-client-ca-file=" + d.file(frontCACertFile),
		"--requestheader-allowed-names=" + frontProxyName,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + d.file(frontCertFile),
		"--proxy-client-key-file=" + d.file(frontKeyFile),
		// No kube-proxy runs here, so a service's cluster IP leads nowhere:
		// webhooks and aggregated APIs are called at the endpoints behind it.
		"--enable-aggregator-routing=true",

		// Sharing the server out fairly costs time at the start and has no
		// use in a test.
		"--enable-priority-and-fairness=false",
		"--profiling=false",
		// A stop ends the watches of clients that are still there.
		"--shutdown-watch-termination-grace-period=2s",
	}
	if advertise.IsLoopback() {
		// The API refuses loopback addresses as endpoints, so the service
		// "kubernetes" has none, rather than an error in the log every ten
		// seconds.
		args = append(args, "--endpoint-reconciler-type=none")
	}

	server := options.NewServerRunOptions()
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	sets := server.Flags()
	for _, set := range sets.FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	// Puts the feature gates, which all of the process share, into force.
	if err := server.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return nil, err
	}
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	server.SecureServing.Listener = listener

	completed, err := server.Complete(ctx)
	if err != nil {
		return nil, err
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return nil, fmt.Errorf("options of kube-apiserver: %w", utilerrors.NewAggregate(errs))
	}
	return func(ctx context.Context) error { return apiserver.Run(ctx, completed) }, nil
}
