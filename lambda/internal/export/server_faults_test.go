package export_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/plan"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/test/local/sqlserver"
)

// named is what a failed check is about.
type named string

func (n named) String() string { return string(n) }

// tablePart is what every statement about a table has in its text.
func tablePart(s pipeline.Spec) string { return strings.TrimPrefix(s.Source.Table, "dbo.") }

// Whatever may be gone is tried again by the same function, with keys of its own, until everything was read once.
func TestAnErrorOfTheServerThatMayBeGoneIsMadeGoodAtEveryStatement(t *testing.T) {
	all := loads(t)
	snapshot, paged := all[1:2], all[2:4]
	for _, c := range []struct {
		name   string
		fault  sqlserver.Fault
		anyway bool // at every statement, also those that set the session
		loads  []load
	}{
		{"the victim of a deadlock", sqlserver.Fault{Error: 1205}, true, snapshot},
		{"a connection that breaks before the rows", sqlserver.Fault{Kill: true}, true, snapshot},
		{"a connection that breaks after a row", sqlserver.Fault{Kill: true, KillAfterRows: 1}, false, paged},
		{"a lock that is held", sqlserver.Fault{Error: 1222}, false, paged},
		{"a database that recovers", sqlserver.Fault{Error: 921}, false, paged},
		{"a database that is restored", sqlserver.Fault{Error: 922}, false, paged},
		{"an availability group without a primary", sqlserver.Fault{Error: 976}, false, paged},
		{"a replica that changes its role", sqlserver.Fault{Error: 983}, false, paged},
		{"a database that can't be opened", sqlserver.Fault{Error: 4060}, false, paged},
		{"versions that a snapshot needs and that are gone", sqlserver.Fault{Error: 3960}, false, snapshot},
	} {
		for _, load := range c.loads {
			t.Run(c.name+", "+load.name, func(t *testing.T) {
				n := 0
				for struck := true; struck; n++ {
					begin := load.prepare(t)
					bubble(t, func(t *testing.T) {
						d := begin.deploy(t)
						d.functionTime = 0
						fault := c.fault
						if fault.Skip = n; !c.anyway {
							fault.Match = tablePart(d.spec)
						}
						server.OrderFault(fault)
						d.run(at(0), nil)
						struck = server.ClearFaults() == 0
						if begin.add != nil {
							begin.add(t)
						}
						d.run(at(1), nil)
						d.check(named(fmt.Sprintf("statement %d", n)), begin.each, begin.want...)
						if want := 2; d.invoked != want {
							t.Fatalf("statement %d: two runs took %d invocations", n, d.invoked)
						}
					})
				}
				t.Logf("%d statements", n-1)
				if n < 4 { // to describe it twice, and to read it
					t.Error("there are hardly any statements")
				}
			})
		}
	}
}

// cutter stands before the server and breaks the connection once, after so many bytes of the server's.
type cutter struct {
	net.Listener
	left atomic.Int64
	cut  atomic.Bool
}

func newCutter(t *testing.T, after int64) *cutter {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l}
	c.left.Store(after)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() { c.forward(t, client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		tasks.Wait()
	})
	return c
}

func (c *cutter) forward(t *testing.T, client net.Conn) {
	defer client.Close()
	host, port := server.Addr()
	upstream, err := new(net.Dialer).DialContext(context.WithoutCancel(t.Context()), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		t.Error(err)
		return
	}
	defer upstream.Close()
	go func() {
		_, _ = io.Copy(upstream, client)
		_ = upstream.Close()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := upstream.Read(buffer)
		if err != nil {
			return
		}
		if left := c.left.Add(-int64(n)); left < 0 && c.cut.CompareAndSwap(false, true) {
			_, _ = client.Write(buffer[:int64(n)+left])
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestAConnectionThatBreaksAtAnyByteIsMadeGood(t *testing.T) {
	load := loads(t)[2]
	begin := load.prepare(t)
	random := rand.New(rand.NewPCG(1, 2))
	through := func(t *testing.T, after int64) int64 {
		c := newCutter(t, after)
		bubble(t, func(t *testing.T) {
			d := begin.deploy(t)
			d.functionTime = 0
			d.secret = fixedSecret(secretText(map[string]any{"port": c.Addr().(*net.TCPAddr).Port}))
			d.run(tick, nil)
			d.check(named(fmt.Sprintf("cut after %d bytes", after)), true, begin.want...)
			if d.invoked != 1 {
				t.Fatalf("cut after %d bytes: it took %d invocations", after, d.invoked)
			}
		})
		if after < 1<<40 && !c.cut.Load() {
			t.Fatalf("nothing was cut after %d bytes", after)
		}
		return after - c.left.Load()
	}
	all := through(t, 1<<40)
	t.Logf("a run takes %d bytes of the server's", all)
	for range 40 {
		through(t, random.Int64N(all*9/10))
	}
}

// What doesn't go away ends the run with what was refused, where, and what to do.
func TestAnErrorOfTheServerThatStaysIsExplained(t *testing.T) {
	s := spec(pipeline.Source{Table: orders(t, 60), PartitionBy: "Id"}, ordersDataset)
	s.Limits.PageRows = 20
	for _, c := range []struct {
		number int32
		remedy string
	}{
		{1205, "can be run again"}, {1222, "export.lockTimeoutSeconds"}, {3960, "the export can be run again"}, {3952, "ALLOW_SNAPSHOT_ISOLATION"},
		{229, "grant SELECT"}, {8115, "TRY_CAST"}, {8134, "NULLIF"},
	} {
		t.Run(strconv.Itoa(int(c.number)), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				d := deploy(t, s)
				server.OrderFault(sqlserver.Fault{Match: tablePart(s) + "] AS q", Error: c.number, Skip: 1, Times: 100})
				defer server.ClearFaults()
				err := d.process(nil).invoke(func(ctx context.Context, e *export.Exporter) error {
					_, err := e.Run(ctx, event(tick), "request")
					return err
				})
				for _, want := range []string{"run 20260101t020000z: partition p00000 (Id everything): ", "error " + strconv.Itoa(int(c.number)), s.Source.Table, c.remedy} {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Fatalf("got %v\nwant an error with %s", err, want)
					}
				}
				if d.connections != 0 {
					t.Errorf("%d connections are open", d.connections)
				}
				server.ClearFaults()
				d.run(tick, nil)
				d.check(named("then"), true, upTo(60)...)
			})
		})
	}
}

// alternating is a secret that is rotated each time that it was read.
type alternating struct{ reads atomic.Int64 }

func (a *alternating) Text(context.Context) ([]byte, error) {
	user := reader
	if a.reads.Add(1)%2 == 0 {
		user = masked // the table has nothing under a mask
	}
	return []byte(secretText(map[string]any{"username": user})), nil
}

func TestALoginThatFailsIsMadeGoodAtEveryConnection(t *testing.T) {
	s := spec(pipeline.Source{Table: orders(t, 60), PartitionBy: "Id"}, ordersDataset)
	s.Limits.PartitionRows = 20
	for _, c := range []struct {
		name   string
		fault  sqlserver.Fault
		secret func() export.Secret
	}{
		{"a secret that was rotated", sqlserver.Fault{Error: 18456}, func() export.Secret { return &alternating{} }},
		{"a failover", sqlserver.Fault{Error: 4060}, func() export.Secret { return nil }},
		{"a recovery", sqlserver.Fault{Error: 921}, func() export.Secret { return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := 0
			for struck := true; struck; n++ {
				bubble(t, func(t *testing.T) {
					d := deploy(t, s)
					d.secret = c.secret()
					c.fault.Login, c.fault.Skip = true, n
					server.OrderFault(c.fault)
					d.run(tick, nil)
					struck = server.ClearFaults() == 0
					d.check(named(fmt.Sprintf("login %d", n)), true, upTo(60)...)
					if d.invoked != 1 {
						t.Fatalf("login %d: it took %d invocations", n, d.invoked)
					}
				})
			}
			if t.Logf("%d logins", n-1); n < 4 {
				t.Error("there are hardly any logins")
			}
		})
	}
}

// A partition that takes longer than a function is read by one function after the other: nothing twice, and nothing is lost of what was read.
func TestADeadlineInsideAPartitionKeepsWhatWasRead(t *testing.T) {
	s := spec(pipeline.Source{Table: orders(t, 60), PartitionBy: "Id"}, ordersDataset)
	s.Limits.PageRows = 10
	for _, c := range []struct {
		name          string
		function, row time.Duration
		// functions reads, hands over and commits; segments is as many, or more where three minutes are over before.
		functions, segments int
	}{
		{"one page of 10 rows in each function", 15 * time.Minute, time.Minute, 8, 7},
		{"two pages in each function", 15 * time.Minute, 30 * time.Second, 5, 7},
		{"two pages in each segment, in one function", time.Hour, 10 * time.Second, 1, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				d := deploy(t, s)
				d.functionTime, d.rowTime = c.function, c.row
				d.spec.Limits.StatementTimeoutSeconds = 840
				d.run(tick, nil)
				m := d.check(named("read"), true, upTo(60)...)[0]
				// The last page is full, so that one more statement finds that it was the last.
				if m.Plan.Segments != c.segments || d.invoked != c.functions || d.rowsRead != 60 || d.statements != 7 {
					t.Fatalf("%d segments in %d functions; %d rows were read by %d statements", m.Plan.Segments, d.invoked, d.rowsRead, d.statements)
				}
			})
		})
	}
}

func TestADeadlineInsideAStatementEndsInTimeAndSaysWhatToDo(t *testing.T) {
	table := orders(t, 60)
	for _, c := range []struct {
		name   string
		source pipeline.Source
		remedy string
	}{
		{"of the whole load", pipeline.Source{Table: table}, "source.partitionBy"},
		{"of a page", pipeline.Source{Table: table, PartitionBy: "Id"}, "raise the function's timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				d := deploy(t, spec(c.source, ordersDataset))
				d.spec.Limits.StatementTimeoutSeconds = 3600
				d.functionTime, d.rowTime = 5*time.Minute, 10*time.Second
				began := time.Now()
				err := d.process(nil).invoke(func(ctx context.Context, e *export.Exporter) error {
					_, err := e.Run(ctx, event(tick), "request")
					return err
				})
				if err == nil || !strings.Contains(err.Error(), "stopped 10s before the function's time limit") || !strings.Contains(err.Error(), c.remedy) {
					t.Fatalf("got %v", err)
				}
				if took := time.Since(began); took > 5*time.Minute || d.connections != 0 {
					t.Errorf("it took %s, and %d connections are open", took, d.connections)
				}
				if d.s3.Uploads() != 0 {
					t.Errorf("%d uploads are open", d.s3.Uploads())
				}
				// With more time it is made by the same plan.
				d.functionTime = 15 * time.Minute
				d.run(tick, nil)
				d.check(named("then"), true, upTo(60)...)
			})
		})
	}
}

// Ticks come in any order, each of them more than once, while rows are added.
func TestEventsThatAreDoubledAndReorderedReadEachRowOnce(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprintf("order %d", seed), func(t *testing.T) {
			table := events(t)
			addEvents(t, table, tick, 1)
			random := rand.New(rand.NewPCG(seed, 7))
			ticks := []int{0, 0, 1, 1, 2, 2, 3, 3}
			random.Shuffle(len(ticks), func(i, j int) { ticks[i], ticks[j] = ticks[j], ticks[i] })
			bubble(t, func(t *testing.T) {
				d := deploy(t, appending(table, byVersion))
				rows := int32(1)
				for _, n := range ticks {
					d.run(at(n), nil)
					if random.IntN(2) == 0 {
						addEvents(t, table, tick, 1)
						rows++
					}
				}
				d.run(at(4), nil)
				chain := d.check(named(fmt.Sprint(ticks)), false, upTo(rows + 1)[1:]...)
				for i, c := range chain[1:] {
					if c.Run >= chain[i].Run {
						t.Errorf("%v: run %s comes before %s", ticks, c.Run, chain[i].Run)
					}
				}
			})
		})
	}
}

// The server's clock and the function's are hours apart: the bounds of a load by time are the ticks', so that a row is read by the tick after
// its own time, whoever's clock stamped it.
func TestClocksThatDifferLoseNoRow(t *testing.T) {
	for _, skew := range []time.Duration{5 * time.Hour, -50 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			table := events(t)
			addEvents(t, table, at(-1), 2)
			addEvents(t, table, at(0).Add(skew), 2)
			addEvents(t, table, at(24), 1)
			// Certificates of the local server are valid from an hour ago on.
			bubbleAt(t, time.Now().Add(skew), func(t *testing.T) {
				d := deploy(t, appending(table, pipeline.Cursor{Kind: pipeline.TimeCursor, Column: "At", Overlap: 3600}))
				for _, n := range []int{0, 1, 12, 30, 61, 62} {
					d.run(at(n), nil)
				}
				chain := d.check(named(skew.String()), false, upTo(6)[1:]...)
				if got, want := chain[len(chain)-1].Source.ClockSkewSeconds, -skew.Seconds(); got < want-30 || got > want+30 {
					t.Errorf("the manifest says that the server is %.0f s ahead, want %.0f", got, want)
				}
			})
		})
	}
}

func TestWhatWasReadByAnotherPlanDoesNotCount(t *testing.T) {
	s := spec(pipeline.Source{Table: orders(t, 60), PartitionBy: "Id"}, ordersDataset)
	s.Limits.PageRows, s.Limits.PartitionRows, s.Limits.FunctionRows = 10, 20, 1
	id := run.NewID(tick)
	planned := func(t *testing.T) (*deployment, export.PlanRef) {
		d := deploy(t, s)
		var result export.Result
		d.must(d.process(nil).invoke(func(ctx context.Context, e *export.Exporter) (err error) {
			result, err = e.Run(ctx, event(tick), "request")
			return err
		}))
		if result.Outcome != export.HandedOver || len(d.maps) != 1 {
			t.Fatalf("got %+v", result)
		}
		var input struct{ Plan export.PlanRef }
		for _, one := range d.maps {
			d.must(json.Unmarshal(one, &input))
		}
		return d, input.Plan
	}
	partition := func(d *deployment, ref export.PlanRef, id string) error {
		return d.process(nil).invoke(func(ctx context.Context, e *export.Exporter) error {
			_, err := e.Partition(ctx, ref, id, "child")
			return err
		})
	}
	wants := func(t *testing.T, err error, words ...string) {
		t.Helper()
		for _, want := range words {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("got %v\nwant an error with %s", err, want)
			}
		}
	}
	// replan puts another plan in the place of one, as a deletion and a new attempt would.
	replan := func(d *deployment, ref export.PlanRef) {
		_, err := d.s3.Client().DeleteObject(d.t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("data"), Key: &ref.Key})
		d.must(err)
		clear(d.maps) // its execution fails, and another takes its place
		d.must(d.process(nil).invoke(func(ctx context.Context, e *export.Exporter) error {
			time.Sleep(time.Minute) // another time in the plan
			_, err := e.Run(ctx, event(tick), "request")
			if err != nil && !strings.Contains(err.Error(), "was read by the plan") {
				return err
			}
			return nil
		}))
	}
	t.Run("a plan that was replaced after it was handed over", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			d, ref := planned(t)
			replan(d, ref)
			wants(t, partition(d, ref, "p00000"), ref.Key, ref.ETag, "replaced after it was handed over")
			d.run(tick, nil)
			d.check(named("then"), true, upTo(60)...)
		})
	})
	t.Run("a part of the plan that was there before", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			d, ref := planned(t)
			d.must(partition(d, ref, "p00000"))
			replan(d, ref)
			err := d.process(nil).invoke(func(ctx context.Context, e *export.Exporter) error {
				_, err := e.Run(ctx, event(tick), "request")
				return err
			})
			record := plan.PartKey(s.Pipeline, id, s.Hash(), "p00000", 0)
			wants(t, err, record, ref.ETag, "delete the record to have the part read again")
			// It is.
			_, err = d.s3.Client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("data"), Key: &record})
			d.must(err)
			d.run(tick, nil)
			d.check(named("then"), true, upTo(60)...)
		})
	})
	t.Run("a partition that the plan doesn't have", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			d, ref := planned(t)
			wants(t, partition(d, ref, "p00099"), `no partition "p00099"`)
		})
	})
}

func TestAHashKeyThatIsGoneIsNamedAndTheRunIsMadeWhenItIsBack(t *testing.T) {
	s := spec(pipeline.Source{Table: orders(t, 60)}, pipeline.Dataset{Task: pipeline.Binary, Key: []string{"Id"}, Label: "Returned", Columns: map[string]pipeline.ColumnRule{"Amount": {Hash: true}}})
	bubble(t, func(t *testing.T) {
		d := deploy(t, s)
		err := d.process(nil).invoke(func(ctx context.Context, e *export.Exporter) error {
			_, err := e.Run(ctx, event(tick), "request")
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "hashKey") || d.connections != 0 {
			t.Fatalf("got %v, %d connections", err, d.connections)
		}
		d.secret = fixedSecret(secretText(map[string]any{"hashKey": "0123456789abcdef"}))
		d.run(tick, nil)
		d.check(named("then"), true, upTo(60)...)
	})
}

// sessions are the connections of a program, as the server sees them.
func sessions(t *testing.T, program string) int {
	t.Helper()
	var n int
	if err := database.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE program_name = @p1", program).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// until waits for something that another process does.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 3000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: not within 30 seconds", what)
}

// Each row takes the server an hour: a session that is gone soon was cancelled.
func TestAFunctionThatEndsCancelsItsStatementsAndClosesItsConnections(t *testing.T) {
	onlyLocally(t, "faults on order")
	for _, c := range []struct {
		name string
		// refused is how many statements are there when one is refused; -1: none is.
		refused int
		problem string
	}{
		{"its time is over", -1, "context canceled"},
		{"one of its connections is refused", 2, "grant SELECT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := spec(pipeline.Source{Table: orders(t, 400), PartitionBy: "Id"}, ordersDataset)
			s.Limits.Connections, s.Limits.PartitionRows, s.Limits.ApplicationName = 3, 100, "cancelled "+w.bucket
			reading := "* FROM [dbo].[" + tablePart(s) + "] AS q WHERE"
			if c.refused >= 0 {
				server.OrderFault(sqlserver.Fault{Match: reading, Error: 229, Skip: c.refused})
			}
			server.OrderFault(sqlserver.Fault{Match: reading, RowDelay: time.Hour, Times: 1000})
			defer server.ClearFaults()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() {
				_, err := w.exporter(s, nil).Run(ctx, event(tick), "request")
				ended <- err
			}()
			if c.refused < 0 {
				until(t, "its statements", func() bool {
					var n int
					w.must(database.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM sys.dm_exec_requests AS r JOIN sys.dm_exec_sessions AS s ON s.session_id = r.session_id
						WHERE s.program_name = @p1`, s.Limits.ApplicationName).Scan(&n))
					return n == s.Limits.Connections
				})
				cancel()
			}
			if err := <-ended; err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v", err)
			}
			until(t, "the end of the sessions", func() bool { return sessions(t, s.Limits.ApplicationName) == 0 })
			w.nothingHappened()
		})
	}
}

// A process that is killed at any moment leaves no session behind, and the next attempt makes the run.
func TestAProcessThatIsKilledIsMadeGood(t *testing.T) {
	onlyLocally(t, "faults on order")
	random := rand.New(rand.NewPCG(3, 4))
	for i, source := range []pipeline.Source{{}, {PartitionBy: "Id"}, {PartitionBy: "Id"}, {}} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			w := newWorld(t)
			source.Table = orders(t, 400)
			s := spec(source, ordersDataset)
			s.Limits.PageRows, s.Limits.PartitionRows, s.Limits.ApplicationName = 50, 100, "killed "+w.bucket
			server.OrderFault(sqlserver.Fault{Match: tablePart(s) + "]", RowDelay: 2 * time.Millisecond, Times: 1000})
			defer server.ClearFaults()
			told, err := json.Marshal(child{URL: local.URL, Bucket: w.bucket, Secret: w.secretID, Machine: w.machine, Spec: s})
			w.must(err)
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestExportOfAChild$")
			command.Env = append(os.Environ(), childVariable+"="+string(told))
			w.must(command.Start())
			until(t, "its login", func() bool { return sessions(t, s.Limits.ApplicationName) > 0 })
			time.Sleep(time.Duration(random.Int64N(int64(500 * time.Millisecond))))
			w.must(command.Process.Kill())
			t.Logf("the process: %v", command.Wait())
			server.ClearFaults()
			until(t, "the end of the sessions", func() bool { return sessions(t, s.Limits.ApplicationName) == 0 })

			result, err := w.exporter(s, nil).Run(t.Context(), event(tick), "second")
			w.must(err)
			m := w.committed()
			if got := w.duckdb(m, "SELECT count(*), count(DISTINCT Id) FROM files"); !slices.Equal(got[0], []string{"400", "400"}) || len(w.executions()) != 1 {
				t.Fatalf("%+v: Parquet has %v, executions %v", result, got, w.executions())
			}
			t.Logf("then: %s, planned by %s", result.Outcome, m.Plan.ETag)
		})
	}
}
