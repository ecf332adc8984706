package main

import (
	"flag"
	"os"
	"strconv"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
)

// openLog sends what Kubernetes logs to the file, appending, and returns it
// for etcd's logger. Only a fatal error still reaches stderr, as the reason
// why the process ends.
func openLog(path string, verbosity int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	for name, value := range map[string]string{
		"logtostderr":     "false",
		"stderrthreshold": "FATAL",
		"one_output":      "true",
		"v":               strconv.Itoa(verbosity),
	} {
		if err := flags.Set(name, value); err != nil {
			return nil, err
		}
	}
	klog.SetOutput(file)
	// klog ends the process with 255; every failure of ours is a 1.
	klog.OsExit = func(int) { os.Exit(1) }
	return file, nil
}

// etcdLogger writes etcd's log lines into the same file.
func etcdLogger(file *os.File) *zap.Logger {
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.ISO8601TimeEncoder
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(config), zapcore.Lock(file), zapcore.InfoLevel)
	return zap.New(core).Named("etcd")
}
