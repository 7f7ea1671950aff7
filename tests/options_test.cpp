#include "tools/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "host/error.hpp"
#include "tests/support/scratch_folder.hpp"
#include "tools/config.hpp"
#include "tools/fit_plan.hpp"

namespace coterie::tools {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ParseNumber, TakesTheWholeTextOrNothing) {
  EXPECT_EQ(parse_number<std::int32_t>("8", "--k", 1, 100), 8);
  for (const char* text : {"", "3x", " 3", "0x10", "1e2", "0", "-1", "101", "18446744073709551616", "nan"})
    EXPECT_THROW(parse_number<std::int32_t>(text, "--k", 1, 100), ArgumentError) << text;
}

TEST(ParseNumber, NamesOptionAndRange) {
  try {
    parse_number<std::int32_t>("0", "--n-clusters", 1, 100);
    FAIL();
  } catch (const ArgumentError& error) {
    EXPECT_THAT(error.what(), HasSubstr("--n-clusters 0: expected a whole number from 1 to 100"));
  }
}

TEST(ParseClusterCounts, ReadsRangesStepsAndLists) {
  EXPECT_THAT(parse_cluster_counts("2:5", "--k"), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(parse_cluster_counts("2:10:4", "--k"), ElementsAre(2, 6, 10));
  EXPECT_THAT(parse_cluster_counts("8,3,8", "--k"), ElementsAre(3, 8));
  EXPECT_THAT(parse_cluster_counts("7", "--k"), ElementsAre(7));
  for (const char* text : {"", "5:2", "2:", ":5", "2:5:0", "2,,3", "a"})
    EXPECT_THROW(parse_cluster_counts(text, "--k"), ArgumentError) << text;
}

TEST(CentersPath, SplitsAtTheDataset) {
  EXPECT_FALSE(centers_path("k-means++"));
  EXPECT_FALSE(centers_path("random"));
  EXPECT_EQ(centers_path("a:b/c.h5:/x/y")->file, "a:b/c.h5");
  EXPECT_EQ(centers_path("a:b/c.h5:/x/y")->dataset, "/x/y");
  EXPECT_FALSE(centers_path(":/x"));
}

// A small program of one verb, as main() builds the real one.
struct Program {
  Program() {
    add_config(root);
    verb = add_verb(root, "cluster", "", "");
    add_input(*verb, input);
    verb->get_option("FILE")->required(false);
    add_output(*verb, output, "CSV")->required(false);
    add_fit(*verb, fit);
    add_device(*verb, resources);
    add_resources(*verb, resources);
  }
  void parse(const std::string& toml, const std::string& arguments) {
    std::ofstream(config) << toml;
    root.parse("cluster --config " + config + " " + arguments);
  }

  const testing::ScratchFolder folder;  // of this program alone: tests run side by side
  const std::string config = folder / "config.toml";

  CLI::App root;
  CLI::App* verb;
  InputOptions input;
  OutputOptions output;
  FitOptions fit;
  ResourceOptions resources;
};

TEST(Config, TheCommandLineWins) {
  Program program;
  program.parse("[cluster]\nn-init = 3\ntol = 0.5\n", "--n-init 7");
  EXPECT_EQ(program.fit.n_init, 7);
  EXPECT_EQ(program.fit.tol, 0.5);
}

TEST(Config, WhatIsPrintedReadsBackAsItself) {
  Program first, second;
  first.root.parse("cluster --n-init 3 --tol 0.25 --memory 1G --gpu-memory 1.5G --init random --seed 18446744073709551615");
  const std::string printed = config_text(*first.verb);
  second.parse(printed, "");
  EXPECT_EQ(config_text(*second.verb), printed);
  EXPECT_EQ(second.fit.n_init, 3);
  EXPECT_EQ(second.fit.init, "random");
  EXPECT_EQ(second.resources.seed, 18446744073709551615u);
  EXPECT_EQ(second.resources.memory_bytes, std::int64_t{1} << 30);
  EXPECT_EQ(second.resources.gpu_memory_bytes, std::int64_t{3} << 29);
}

TEST(CheckGiven, EmptyTextIsNotTakenForAnOptionThatWasNotGiven) {
  const auto message = [](const std::string& toml, std::vector<std::string> arguments) -> std::string {
    Program program;
    std::ofstream(program.config) << toml;
    arguments.insert(arguments.begin(), {"cluster", "--config", program.config});
    std::reverse(arguments.begin(), arguments.end());
    try {
      program.root.parse(arguments);
      check_given(program.root, *program.verb);
    } catch (const ArgumentError& error) {
      return error.what();
    }
    return "no error";
  };
  for (const std::string option : {"--where", "--active", "--outcome", "--init", "--csv", "--output", "--x"})
    EXPECT_THAT(message("", {option, ""}), HasSubstr(option + ": nothing is given to it")) << option;
  EXPECT_THAT(message("", {""}), HasSubstr("FILE: nothing is given to it"));
  EXPECT_THAT(message("[cluster]\nwhere = \"\"\n", {}), HasSubstr("--where: nothing is given to it"));
  EXPECT_THAT(message("[cluster]\nignore = [\"a\", \"\"]\n", {}), HasSubstr("--ignore: nothing is given to it"));
  EXPECT_EQ(message("[cluster]\nwhere = \"a > 1\"\n", {"in.h5ad", "-o", "out.h5ad"}), "no error");
  EXPECT_EQ(message("", {"in.h5ad", "-o", "out.h5ad", "--weight", "", "--value", ""}), "no error");  // nobody weighs
}

TEST(CheckGiven, OutputIsNotTheConfigFile) {
  for (const std::string option : {"--output", "--csv"}) {
    Program same, other;
    same.parse("[cluster]\nn-init = 3\n", option + " " + (same.folder / "./config.toml").string());
    other.parse("[cluster]\nn-init = 3\n", option + " " + (other.folder / "no_config.toml").string());
    EXPECT_THROW(check_given(same.root, *same.verb), ArgumentError) << option;
    EXPECT_NO_THROW(check_given(other.root, *other.verb)) << option;
  }
}

TEST(Config, ErrorsNameTheLine) {
  const auto message = [&](const std::string& toml) -> std::string {
    try {
      Program().parse(toml, "");
    } catch (const ArgumentError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message("[cluster]\n\nn-inti = 3\n"), ::testing::AllOf(HasSubstr("line 3"), HasSubstr("Did you mean n-init?")));
  EXPECT_THAT(message("[clutser]\nn-init = 3\n"), ::testing::AllOf(HasSubstr("line 1"), HasSubstr("Did you mean cluster?")));
  EXPECT_THAT(message("[cluster]\nn-init = \n"), HasSubstr("line 2"));
  EXPECT_THAT(message("[cluster]\nn-init = 3\nn-init = 4\n"), HasSubstr("line 3"));
  EXPECT_THAT(message("[cluster]\nn-init = 0\n"), HasSubstr("expected a whole number from 1"));
  EXPECT_THAT(message("[cluster]\ngpu-memory = \"12Q\"\n"), HasSubstr("--gpu-memory: '12Q'"));
}

}  // namespace
}  // namespace coterie::tools
