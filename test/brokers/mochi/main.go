// A mochi broker on one loopback port. Its one limit that is not mochi's own lets a sweep read all retained messages at once,
// as docs/brokers.md advises; -pending 8192 is mochi's own. With -data, sessions and retained messages are kept in a
// file of that folder and survive a restart.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/hooks/storage/bolt"
	"github.com/mochi-mqtt/server/v2/listeners"
	"go.etcd.io/bbolt"
)

func main() {
	port := flag.Int("port", 1883, "loopback port")
	data := flag.String("data", "", "folder in which everything is kept; without it, everything is in memory")
	pending := flag.Int("pending", 65536, "messages that wait to be written to one client; more are dropped")
	flag.Parse()
	if err := serve(*port, *data, int32(*pending)); err != nil {
		log.Fatal(err)
	}
}

func serve(port int, data string, pending int32) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)

	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumClientWritesPending = pending
	server := mqtt.New(&mqtt.Options{Capabilities: capabilities})
	if err := server.AddHook(new(auth.AllowHook), nil); err != nil {
		return err
	}
	if data != "" {
		// Without NoSync, each retained message waits for the disk. A process that ends loses nothing either way.
		options := &bolt.Options{Path: filepath.Join(data, "mochi.bolt"), Options: &bbolt.Options{NoSync: true}}
		if err := server.AddHook(new(bolt.Hook), options); err != nil {
			return err
		}
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if err := server.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: address})); err != nil {
		return err
	}
	if err := server.Serve(); err != nil {
		return err
	}
	<-stop
	return server.Close()
}
