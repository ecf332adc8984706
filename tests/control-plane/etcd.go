package main

import (
	"context"
	"errors"
	"net/url"
	"os"

	"go.etcd.io/etcd/server/v3/embed"
)

// etcdSocket is where etcd listens: a unix socket in the data folder, which
// takes no port that another process could want, and which only this user can
// open. The name is relative because a socket's path may not be longer than
// about a hundred bytes, which test folders reach; the process runs in its
// data folder.
const etcdSocket = "etcd.sock"

// etcdEndpoint is the same in the words of etcd's clients.
const etcdEndpoint = "unix://" + etcdSocket

// startEtcd starts the one-member etcd and waits until it serves.
func startEtcd(ctx context.Context, d *dataDir, log *os.File) (*embed.Etcd, error) {
	config := embed.NewConfig()
	config.Name = "control-plane"
	config.Dir = d.file("etcd")
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(etcdLogger(log))

	socket := url.URL{Scheme: "unix", Host: etcdSocket}
	config.ListenClientUrls = []url.URL{socket}
	config.AdvertiseClientUrls = []url.URL{socket}
	// There are no peers, so nothing listens for them. The address is a name
	// for the only member; it has to stay the same over restarts.
	config.ListenPeerUrls = nil
	config.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:2380"}}
	config.InitialCluster = config.InitialClusterFromName(config.Name)

	// An only member elects itself once the election time is over: at the
	// default of a second every start would wait for it.
	config.TickMs = 20
	config.ElectionMs = 100
	// Data need not outlive a crash of the machine. That of the process, kill
	// -9 included, loses nothing: the kernel has the pages.
	config.UnsafeNoFsync = true
	config.EnableGRPCGateway = false

	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, nil
	case err = <-etcd.Err():
	case <-etcd.Server.StopNotify():
		err = errors.New("etcd stopped while starting")
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	etcd.Server.HardStop()
	etcd.Close()
	return nil, err
}
