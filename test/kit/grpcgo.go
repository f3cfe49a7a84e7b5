// A gRPC server and client of the Go library, which sends a PING and a WINDOW_UPDATE for what it reads, as no other does.
//
//	grpcgo serve                          prints its port; ends with its input
//	grpcgo MODE ADDRESS MESSAGES BYTES    one stream; prints "ok", or what the library says of its failure
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type message = wrapperspb.BytesValue

var streams = map[string]grpc.StreamDesc{
	// Answers each message.
	"talk": {ServerStreams: true, ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
		for {
			var got message
			if err := stream.RecvMsg(&got); err != nil {
				return endOf(err)
			}
			if err := stream.SendMsg(&got); err != nil {
				return err
			}
		}
	}},
	// Answers one message with as many as it has bytes.
	"expand": {ServerStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
		var got message
		if err := stream.RecvMsg(&got); err != nil {
			return err
		}
		for range got.Value {
			if err := stream.SendMsg(&message{Value: []byte("x")}); err != nil {
				return err
			}
		}
		return nil
	}},
	// Answers all messages with one.
	"collect": {ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
		for {
			var got message
			if err := stream.RecvMsg(&got); err == io.EOF {
				return stream.SendMsg(&message{})
			} else if err != nil {
				return err
			}
		}
	}},
}

func main() {
	if os.Args[1] == "serve" {
		serve()
		return
	}
	messages, err := strconv.Atoi(os.Args[3])
	check(err)
	bytes, err := strconv.Atoi(os.Args[4])
	check(err)
	ask(os.Args[1], os.Args[2], messages, bytes)
	fmt.Println("ok")
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	service := grpc.ServiceDesc{ServiceName: "test.Echo", HandlerType: (*any)(nil)}
	for name, stream := range streams {
		stream.StreamName = name
		service.Streams = append(service.Streams, stream)
	}
	server := grpc.NewServer()
	server.RegisterService(&service, nil)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	check(server.Serve(listener))
}

// What is at an address "tls:..." speaks TLS.
func ask(mode, address string, messages, bytes int) {
	trust := insecure.NewCredentials()
	if rest, isTLS := strings.CutPrefix(address, "tls:"); isTLS {
		address = rest
		trust = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, ServerName: "gw.test"})
	}
	client, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(trust), grpc.WithAuthority("gw.test"))
	check(err)
	context, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	description := streams[mode]
	stream, err := client.NewStream(context, &description, "/test.Echo/"+mode)
	check(err)
	sent := &message{Value: make([]byte, bytes)}
	for range messages {
		// The reason of a failure is what RecvMsg says.
		if stream.SendMsg(sent) != nil {
			check(stream.RecvMsg(&message{}))
		}
		if mode == "talk" {
			check(stream.RecvMsg(&message{}))
		}
	}
	check(stream.CloseSend())
	for err == nil {
		err = stream.RecvMsg(&message{})
	}
	check(endOf(err))
}

func endOf(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
