// coterie devices: what --device can be on this machine.
#include "cuda/devices.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/session.hpp"
#include "tools/table.hpp"
#include "tools/verbs.hpp"

namespace coterie::tools {

namespace {

std::string devices_json(const Backend& cpu, int threads, const COTERIE_GPU::Devices& gpus) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  list.push_back({{"device", cpu.name()}, {"description", cpu.description()}, {"threads", threads}});
  for (const COTERIE_GPU::Device& gpu : gpus.usable)
    list.push_back({{"device", fmt::format("cuda:{}", gpu.index)},
                    {"description", COTERIE_GPU::describe(gpu)},
                    {"name", gpu.name},
                    {"compute_capability", fmt::format("{}.{}", gpu.compute_major, gpu.compute_minor)},
                    {"memory_bytes", gpu.memory_bytes}});
  return json_line({{"devices", list}, {"reason", gpus.reason}});
}

void list_devices(const ResourceOptions& options, bool json) {
  Session session(options);
  const auto cpu = make_cpu_backend(session.context());
  const COTERIE_GPU::Devices gpus = COTERIE_GPU::probe();
  if (json) return print(devices_json(*cpu, session.context().threads(), gpus));
  Table table;
  table.add_column("DEVICE", Align::left);
  table.add_column("WHAT IT IS", Align::left);
  table.add_row({cpu->name(), cpu->description()});
  for (const COTERIE_GPU::Device& gpu : gpus.usable)
    table.add_row({fmt::format("cuda:{}", gpu.index), printable(COTERIE_GPU::describe(gpu))});
  print(table.text());
  if (!gpus.reason.empty()) session.say(gpus.reason);
}

}  // namespace

Verb add_devices(CLI::App& root) {
  CLI::App* app = add_verb(root, "devices", "Processors and GPUs that --device can name", "--json");
  auto json = std::make_shared<bool>(false);
  add_json(*app, *json);
  return {app, [json] { list_devices({}, *json); }};
}

}  // namespace coterie::tools
