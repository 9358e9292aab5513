// bench --url: how fast a server streams answers. What is measured: lab/url_bench.h.
#pragma once

#include <string>

#include "cli/options.h"
#include "lab/url_bench.h"

namespace chaski::cli {

struct UrlBenchOptions {
  UrlBenchPlan plan;        ///< its lengths and repeats are those of bench
  std::string api_key_env;  ///< name of the environment variable that holds the key
  std::string prompt_file;
  std::string output = "table";
};

/// --url and what belongs to it alone.
void add_url_options(CLI::App& command, const Context& context, UrlBenchOptions& options);

/// Bench the server, remember the run and print it. Ctrl-C prints what was measured and ends with
/// Error(kCancelled); where every request failed, the first failure is thrown once all are printed.
void bench_url(UrlBenchOptions options, const Context& context);

}  // namespace chaski::cli
