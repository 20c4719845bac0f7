// The CDK app: one stage for each environment that cdk.json describes.
//
//	npx cdk deploy 'dev/**'
//	npx cdk synth 'dev/**' -c environment=dev    # makes no other stage: faster
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs"
	"sagemaker-datapipeline/constructs/config"
)

func main() {
	err := synth()
	closeRuntime()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// synth makes the stages and writes their templates. Constructs panic when they can't be made, in the CDK's JavaScript as
// in ours: here that becomes one message.
func synth() (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = constructProblem(problem)
		}
	}()
	app := awscdk.NewApp(nil)
	c, only, err := configuration(app)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(c.Environments)) {
		if only != "" && name != only {
			continue
		}
		if _, err := constructs.NewStage(app, name, c); err != nil {
			return err
		}
	}
	app.Synth(nil)
	return nil
}

// closeRuntime ends the CDK's Node.js process and passes on what it still has to say. jsii waits for that process twice, in
// two goroutines, and when the wrong one wins, complains about it; that is kept from the user.
func closeRuntime() {
	complaint := []byte("Runtime process exited abnormally: waitid: no child processes")
	stderr := os.Stderr
	r, w, err := os.Pipe()
	if err != nil {
		jsii.Close()
		return
	}
	os.Stderr = w
	passedOn := make(chan struct{})
	go func() {
		defer close(passedOn)
		for lines := bufio.NewReader(r); ; {
			line, err := lines.ReadBytes('\n')
			_, _ = stderr.Write(bytes.ReplaceAll(line, complaint, nil))
			if err != nil {
				return
			}
		}
	}()
	jsii.Close()
	w.Close()
	<-passedOn
	os.Stderr = stderr
}

// onlyKey is the context key that limits the app to one environment.
const onlyKey = "environment"

// configuration decodes the app's context: what cdk.json says, and over it what -c on the command line says.
func configuration(app awscdk.App) (c *config.Config, only string, err error) {
	// The command line has parsed the file before us, and of a key that is there twice has silently kept the last.
	if _, err := os.Stat("cdk.json"); err == nil {
		if _, err := config.FromFile("cdk.json"); err != nil {
			return nil, "", err
		}
	}
	context, ok := app.Node().GetAllContext(nil).(map[string]any)
	if !ok {
		return nil, "", errors.New("reading the configuration: the app has no context; start it by `npx cdk`, in the directory of cdk.json")
	}
	if v, ok := context[onlyKey]; ok {
		only = fmt.Sprint(v)
		delete(context, onlyKey)
	}
	b, err := json.Marshal(context)
	if err != nil {
		return nil, "", fmt.Errorf("reading the configuration: %w", err)
	}
	if c, err = config.Decode(b, "."); err != nil {
		return nil, "", err
	}
	if _, ok := c.Environments[only]; only != "" && !ok {
		return nil, "", fmt.Errorf("-c environment=%s: there is no such environment in cdk.json, but %s", only, strings.Join(slices.Sorted(maps.Keys(c.Environments)), ", "))
	}
	return c, only, nil
}

// constructProblem makes one message of a panic. jsii gives the message of a JavaScript error with its stack below, which
// says nothing to somebody who writes Go; a mistake of Go's own keeps its stack.
func constructProblem(problem any) error {
	if bug, ok := problem.(runtime.Error); ok {
		panic(bug)
	}
	message, _, _ := strings.Cut(fmt.Sprint(problem), "\n    at ")
	return errors.New(message)
}
