#include "host/synth_personas.hpp"

namespace coterie::synth {
namespace {

constexpr std::array<Persona, 6> kPersonas{{
    {.name = "Loyal regulars",
     .share = 0.18,
     .only_once = 0.02,
     .leaves = 0.005,
     .interval = 24,
     .order_value = 48,
     .items = 3.5,
     .discounted = 0.15,
     .returned = 0.03,
     .tenure = {60, 1095},
     .touches = {9, 3, 6, 1.5, 0.15},
     .breadth = 0.2,
     .activity = -0.3,
     .sessions = 0.8,
     .minutes = 7,
     .nps = 8.6,
     .age = 47,
     .plan = 1.6,
     .treatment_effect = 0.3},
    {.name = "Bargain hunters",
     .share = 0.16,
     .only_once = 0.13,
     .leaves = 0.02,
     .interval = 55,
     .order_value = 24,
     .items = 4.5,
     .discounted = 0.75,
     .returned = 0.08,
     .tenure = {60, 1095},
     .touches = {16, 1, 14, 0.4, 0.3},
     .breadth = -0.6,
     .activity = -1,
     .sessions = 1.2,
     .minutes = 5,
     .nps = 7.2,
     .age = 41,
     .plan = 0.6,
     .treatment_effect = 0.9},
    {.name = "Big spenders",
     .share = 0.08,
     .only_once = 0.05,
     .leaves = 0.01,
     .interval = 32,
     .order_value = 340,
     .items = 2.5,
     .discounted = 0.05,
     .returned = 0.12,
     .tenure = {60, 1095},
     .touches = {3, 1, 1, 9, 0.4},
     .breadth = -0.2,
     .activity = -1.4,
     .sessions = 0.5,
     .minutes = 9,
     .nps = 8,
     .age = 52,
     .plan = 2.4,
     .treatment_effect = 0.2},
    {.name = "App natives",
     .share = 0.15,
     .only_once = 0.21,
     .leaves = 0.015,
     .interval = 38,
     .order_value = 30,
     .items = 1.8,
     .discounted = 0.3,
     .returned = 0.06,
     .tenure = {45, 800},
     .touches = {2, 28, 1, 0.2, 0.5},
     .breadth = 1.1,
     .activity = 0.9,
     .sessions = 2.5,
     .minutes = 12,
     .nps = 8.2,
     .age = 28,
     .plan = 1.4,
     .treatment_effect = 0.6},
    {.name = "One-off gift buyers",
     .share = 0.25,
     .only_once = 0.94,
     .leaves = 0.35,
     .interval = 180,
     .order_value = 62,
     .items = 1.3,
     .discounted = 0.25,
     .returned = 0.05,
     .tenure = {20, 1095},
     .touches = {0.9, 0.06, 1.2, 0.25, 0.08},
     .breadth = -2.4,
     .activity = -4,
     .sessions = 0.4,
     .minutes = 3,
     .nps = 7.4,
     .age = 44,
     .plan = 0.2,
     .treatment_effect = 0.5},
    {.name = "Fading customers",
     .share = 0.18,
     .only_once = 0.19,
     .leaves = 0.16,
     .interval = 28,
     .order_value = 40,
     .items = 2.6,
     .discounted = 0.25,
     .returned = 0.15,
     .tenure = {365, 1095},
     .touches = {2.5, 1.2, 4, 0.5, 1.6},
     .breadth = -1.2,
     .activity = -2,
     .sessions = 0.6,
     .minutes = 4,
     .nps = 4.8,
     .age = 43,
     .plan = 1,
     .treatment_effect = -0.4},
}};

}  // namespace

std::span<const Persona> personas() { return kPersonas; }

Latent draw_latent(const Draws& draws) {
  double u = draws.uniform(Stream::persona);
  std::int32_t persona = 0;
  for (; persona + 1 < std::ssize(kPersonas) && u >= kPersonas[static_cast<std::size_t>(persona)].share; ++persona)
    u -= kPersonas[static_cast<std::size_t>(persona)].share;
  const Persona& own = kPersonas[static_cast<std::size_t>(persona)];
  const auto [intensity, wallet] = draws.normals(Stream::intensity_and_wallet);
  const auto [digital, contentment] = draws.normals(Stream::digital_and_contentment);
  const double tail = exp(exponential(draws.bits(Stream::tail)) / kSynthTailIndex);  // u^(-1 / index)
  const double tenure = own.tenure[0] + (own.tenure[1] - own.tenure[0]) * draws.uniform(Stream::tenure);
  return {draws, intensity, wallet, digital, contentment, tail, -tenure, persona};
}

std::int32_t next_persona(const Draws& draws, std::int32_t persona, std::int32_t month) {
  const double u = draws.uniform(Stream::move, 0, month);
  if (u >= kSynthMoveShare) return persona;
  const auto others = static_cast<std::int32_t>(kPersonas.size()) - 1;
  const auto steps = 1 + static_cast<std::int32_t>(u / kSynthMoveShare * others);
  return (persona + steps) % (others + 1);
}

}  // namespace coterie::synth
