#include "host/column_names.hpp"

#include <gtest/gtest.h>

namespace coterie {
namespace {

TEST(ColumnNames, RankIds) {
  EXPECT_EQ(id_rank("spend"), 0);
  EXPECT_EQ(id_rank("identity"), 0);
  EXPECT_EQ(id_rank("store_id"), 0);
  EXPECT_GT(id_rank("Customer ID"), id_rank("id"));
  EXPECT_EQ(id_rank("customer_id"), id_rank("customerID"));
}

TEST(ColumnNames, KnowCodesByTheirLastWord) {
  for (const char* name : {"zip", "ZIP Code", "postcode", "phone_number", "storeId", "StoreID", "store no", "id"})
    EXPECT_TRUE(is_code_name(name)) << name;
  for (const char* name : {"", "number", "store_visits", "phone_calls", "paid", "codes", "zipped", "no", "idea"})
    EXPECT_FALSE(is_code_name(name)) << name;
}

}  // namespace
}  // namespace coterie
