package histories

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/internal/parquetfiles"
	"sagemaker-datapipeline/lambda/pipeline"
)

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == checks })
	if !given {
		_ = flag.Set(checks, strconv.Itoa(historiesOfAKind)) // rapid has this flag
	}
	if err := warm(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// warm writes and reads a file outside of all bubbles: the encoders and decoders that the process shares belong to none of them then.
func warm() error {
	resolved, err := columns.Resolve(tableColumns, pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"Id"}})
	if err != nil {
		return err
	}
	batcher, err := columns.NewBatcher(resolved, columns.BatchOptions{MaxValueBytes: 1 << 10})
	if err != nil {
		return err
	}
	if err := batcher.Append([]any{int64(1), int64(1), int64(1), make([]byte, 8), time.Now()}); err != nil {
		return err
	}
	bucket := objects.NewBucket(memory.New().Client(), "data", "", 1)
	parquet := parquetfiles.NewWriter(resolved.Schema(), func(int) *objects.Writer {
		return bucket.NewWriter(context.Background(), "warm", "")
	}, parquetfiles.Sizes{})
	if err := parquet.Write(batcher.Batch()); err != nil {
		return err
	}
	if _, err := parquet.Close(); err != nil {
		return err
	}
	stored, err := bucket.Read(context.Background(), "warm")
	if err != nil {
		return err
	}
	_, err = parse(stored.Body)
	return err
}
