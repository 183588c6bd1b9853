// The built-in handlers: what they answer, and what save and record never do.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <complex>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "handlers/builtin.hpp"
#include "handlers/files.hpp"
#include "raw_client.hpp"
#include "tensorwire/npy.hpp"
#include "tensorwire/tfrecord.hpp"

namespace {

namespace fs = std::filesystem;
namespace handlers = tensord::handlers;
using raw::at;
using tensord::Error;
using tensord::ErrorCode;
using tensord::ErrorException;
using tensord::Image;
using tensord::Item;
using tensord::Json;
using tensord::Reply;
using tensord::Request;
using tensord::Shape;
using tensord::Tensor;

template <class T>
Tensor tensor(const std::vector<T>& values, const Shape& shape) {
  return Tensor::copy_of(std::span<const T>(values), shape).value();
}

template <class T>
Tensor tensor(const std::vector<T>& values) {
  return tensor(values, Shape{static_cast<std::int64_t>(values.size())});
}

Request request(std::string name, Tensor content, Json params = {}) {
  Request made;
  made.tensors.emplace_back(std::move(name), std::move(content));
  made.tensors.back().at = "/tensors/0";
  made.params = std::move(params);
  return made;
}

Image image(std::int64_t height, std::int64_t width, tensorwire::ImageFormat format) {
  const std::vector<std::uint8_t> grey(static_cast<std::size_t>(height * width * 3), 77);
  const tensorwire::TensorView view(std::span<const std::uint8_t>(grey), Shape{height, width, 3});
  return Image::open(tensorwire::encode_image(view, format).value()).value();
}

template <class T>
Json stats(const std::vector<T>& values) {
  return handlers::stats(request("", tensor(values))).result;
}

std::string brief(const Json& result) {
  std::string line;
  for (const char* const name : {"min", "max", "mean", "std", "nan", "inf", "zero"}) {
    line += (line.empty() ? "" : " ") + at(result, std::string("tensors.0.") + name);
  }
  return line;
}

template <class Call>
Error error_of(const Call& call) {
  try {
    call();
  } catch (const ErrorException& failure) {
    return failure.error();
  }
  ADD_FAILURE() << "nothing was refused";
  return {};
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(StatsTest, IntegersAreExactToTheirLastDigit) {
  using Int64 = std::numeric_limits<std::int64_t>;
  EXPECT_EQ(brief(stats<std::int64_t>({Int64::min(), 0, Int64::max()})),
            "-9223372036854775808 9223372036854775807 -0.3333333333333333 7530851732716320768.0 0 0 1");
  EXPECT_EQ(brief(stats<std::uint64_t>({18446744073709551615U, 18446744073709551615U})),
            "18446744073709551615 18446744073709551615 18446744073709551616.0 0.0 0 0 0");
  EXPECT_EQ(brief(stats<std::int8_t>({-128, 127})), "-128 127 -0.5 127.5 0 0 0");
  EXPECT_EQ(brief(stats<std::uint16_t>({1, 2, 3, 4})), "1 4 2.5 1.118033988749895 0 0 0");
}

TEST(StatsTest, FiniteValuesCountAndOthersAreCounted) {
  EXPECT_EQ(brief(stats<double>({1, kNaN, 3, kInfinity, -kInfinity, 0, -0.0})), "0.0 3.0 1.0 1.224744871391589 1 2 2");
  EXPECT_EQ(brief(stats<float>({2.5F})), "2.5 2.5 2.5 0.0 0 0 0");
  EXPECT_EQ(brief(stats<double>({kNaN})), "null null null null 1 0 0");
  EXPECT_EQ(brief(stats<double>({})), "null null null null 0 0 0");
  EXPECT_EQ(brief(stats<std::int32_t>({})), "null null null null 0 0 0");
}

TEST(StatsTest, LongTensorsAndTheirOddEndsAgree) {
  for (const std::size_t n : {1U, 15U, 16U, 17U, 1000U, 4097U}) {
    std::vector<double> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<double>(i) - 3;
    values[n / 2] = kNaN;
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += i == n / 2 ? 0 : values[i];
    const Json result = stats(values);
    EXPECT_EQ(at(result, "tensors.0.nan"), "1") << n;
    if (n == 1) continue;
    EXPECT_EQ(at(result, "tensors.0.min"), "-3.0") << n;
    EXPECT_DOUBLE_EQ(std::stod(at(result, "tensors.0.mean")), sum / static_cast<double>(n - 1)) << n;
    EXPECT_EQ(at(result, "tensors.0.zero"), n > 3 && n / 2 != 3 ? "1" : "0") << n;
  }
}

TEST(StatsTest, EveryDtypeHasItsStatistics) {
  for (const tensorwire::DTypeInfo& dtype : tensorwire::all_dtypes()) {
    Tensor zeros = Tensor::allocate(dtype.dtype, Shape{2, 3}).value();
    for (std::byte& byte : zeros.bytes()) byte = std::byte{0};
    const Json result = handlers::stats(request("x", std::move(zeros))).result;
    EXPECT_EQ(at(result, "tensors.0.dtype"), "\"" + std::string(dtype.name) + "\"");
    EXPECT_EQ(at(result, "tensors.0.name"), "\"x\"");
    EXPECT_EQ(at(result, "tensors.0.shape"), "[2,3]");
    EXPECT_EQ(at(result, "tensors.0.nbytes"), std::to_string(6 * dtype.itemsize));
    EXPECT_EQ(at(result, "tensors.0.zero"), dtype.itemsize == 0 ? "0" : "6") << dtype.name;
    EXPECT_EQ(at(result, "tensors.0.mean") == "null", dtype.itemsize == 0) << dtype.name;
  }
}

TEST(StatsTest, BoolHalfAndComplexAreWhatTheyMean) {
  Tensor flags = Tensor::allocate(tensorwire::DType::boolean, Shape{4}).value();
  for (std::size_t i = 0; i < 4; ++i) flags.bytes()[i] = std::byte{static_cast<unsigned char>(i == 0 ? 1 : 0)};
  EXPECT_EQ(brief(handlers::stats(request("", std::move(flags))).result), "false true 0.25 0.4330127018922193 0 0 3");
  EXPECT_EQ(brief(stats<tensorwire::Float16>({{0x3C00}, {0xC000}, {0x7C00}, {0x7E00}})), "-2.0 1.0 -0.5 1.5 1 1 0");
  EXPECT_EQ(brief(stats<tensorwire::BFloat16>({{0x3F80}, {0xFF80}})), "1.0 1.0 1.0 0.0 0 1 0");
  EXPECT_EQ(brief(stats<tensorwire::Float8E4M3>({{0x7E}, {0x7F}})), "448.0 448.0 448.0 0.0 1 0 0");
  EXPECT_EQ(brief(stats<std::complex<float>>({{1, 2}, {3, -2}, {0, 0}})),
            "null null [1.3333333333333333,0.0] 2.0548046676563256 0 0 1");
}

TEST(StatsTest, ImagesTellTheirHeader) {
  Request made;
  made.tensors.emplace_back(image(4, 6, tensorwire::ImageFormat::png));
  const Json result = handlers::stats(std::move(made)).result;
  EXPECT_EQ(at(result, "tensors.0.format"), "\"png\"");
  EXPECT_EQ(at(result, "tensors.0.width"), "6");
  EXPECT_EQ(at(result, "tensors.0.height"), "4");
  EXPECT_EQ(at(result, "tensors.0.channels"), "3");
  EXPECT_EQ(at(result, "tensors.0.shape"), "[4,6,3]");
  EXPECT_EQ(at(result, "tensors.0.mean"), "77.0");
}

TEST(HandlersTest, WithoutAnyTensorTheyRefuse) {
  EXPECT_EQ(error_of([] { (void)handlers::echo({}); }).code, ErrorCode::bad_message);
  EXPECT_EQ(error_of([] { (void)handlers::stats({}); }).code, ErrorCode::bad_message);
  EXPECT_EQ(error_of([] { (void)handlers::discard({}); }).code, ErrorCode::bad_message);
}

TEST(HandlersTest, DiscardCountsDecodedBytes) {
  Request made = request("a", tensor<double>({1, 2, 3}));
  made.tensors.emplace_back(image(4, 6, tensorwire::ImageFormat::jpeg));
  EXPECT_EQ(handlers::discard(std::move(made)).result.dump(), R"({"nbytes":96})");
}

TEST(HandlersTest, StringsCountTheirBytes) {
  const auto labels = [] {
    return Tensor::of_strings(Shape{2}, {"gr\u00fcn", "a long label that owns memory"}).value();
  };
  EXPECT_EQ(handlers::discard(request("a", labels())).result.dump(), R"({"nbytes":34})");
  EXPECT_EQ(at(handlers::stats(request("a", labels())).result, "tensors.0.nbytes"), "34");
}

TEST(HandlersTest, EchoGivesBackNamesTensorsAndPixels) {
  Request made = request("a", tensor<std::int16_t>({1, -2}));
  made.tensors.emplace_back("b", image(2, 3, tensorwire::ImageFormat::png));
  Reply reply = handlers::echo(std::move(made));
  ASSERT_EQ(reply.tensors.size(), 2U);
  EXPECT_EQ(reply.tensors[0].name, "a");
  EXPECT_EQ(reply.tensors[0].as<std::int16_t>().value()[1], -2);
  EXPECT_EQ(reply.tensors[1].name, "b");
  EXPECT_EQ(reply.tensors[1].image(), nullptr);
  EXPECT_EQ(reply.tensors[1].tensor().value()->shape(), (Shape{2, 3, 3}));
  EXPECT_TRUE(reply.result.is_null());
}

TEST(HandlersTest, EchoEncodesWhenAskedFor) {
  Request made = request("a", tensor<std::uint8_t>({1, 2, 3, 4}, Shape{2, 2}), Json::object({{"format", "png"}}));
  Reply reply = handlers::echo(std::move(made));
  ASSERT_NE(reply.tensors[0].image(), nullptr);
  EXPECT_EQ(reply.tensors[0].as<std::uint8_t>().value()[3], 4);
  const auto refused = [](Json params) {
    return error_of([&] { (void)handlers::echo(request("", tensor<std::uint8_t>({1}, Shape{1, 1}), params)); }).at;
  };
  EXPECT_EQ(refused(Json::object({{"format", "gif"}})), "/params/format");
  EXPECT_EQ(refused(Json::object({{"format", 5}})), "/params/format");
  EXPECT_EQ(refused(Json::object({{"format", "jpeg"}, {"quality", 101}})), "/params/quality");
  const Error wrong = error_of([] {
    (void)handlers::echo(request("", tensor<double>({1}, Shape{1, 1}), Json::object({{"format", "png"}})));
  });
  EXPECT_EQ(wrong.at, "/tensors/0");
}

class SaveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/tensord_save_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = fs::path(name) / "root";
    fs::create_directory(root_);
  }
  void TearDown() override { fs::remove_all(root_.parent_path()); }

  Json save(const std::string& name, Json params = {}) {
    return handlers::save(request(name, tensor<float>({1, 2}), std::move(params)), root_.string()).result;
  }
  Error refused(const std::string& name, Json params = {}) {
    return error_of([&] { (void)save(name, std::move(params)); });
  }
  [[nodiscard]] static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Files of any kind below and beside the root.
  [[nodiscard]] std::size_t files() const {
    std::size_t n = 0;
    for (const auto& entry : fs::recursive_directory_iterator(root_.parent_path())) n += entry.is_directory() ? 0U : 1U;
    return n;
  }

  fs::path root_;
};

TEST_F(SaveTest, TensorsBecomeNpyFilesThatReadBack) {
  EXPECT_EQ(save("a").dump(), R"({"files":[{"path":"a.npy","nbytes":136}]})");
  const std::string bytes = read(root_ / "a.npy");
  const Tensor back = tensorwire::read_npy(std::as_bytes(std::span(bytes))).value();
  EXPECT_EQ(back.as<float>().value()[1], 2);
  EXPECT_EQ(save("").dump(), R"({"files":[{"path":"0.npy","nbytes":136}]})");
  EXPECT_EQ(save("b.npy").dump(), R"({"files":[{"path":"b.npy","nbytes":136}]})");
  EXPECT_EQ(save("x", Json::object({{"prefix", "run/1/"}})).dump(),
            R"({"files":[{"path":"run/1/x.npy","nbytes":136}]})");
  EXPECT_TRUE(fs::exists(root_ / "run/1/x.npy"));
}

TEST_F(SaveTest, ImagesBecomeTheirOriginalFiles) {
  Request made;
  made.tensors.emplace_back("photo", image(4, 6, tensorwire::ImageFormat::jpeg));
  made.tensors.emplace_back("plan.PNG", image(4, 6, tensorwire::ImageFormat::png));
  const auto file = made.tensors[0].image()->file();
  const std::string original(reinterpret_cast<const char*>(file.data()), file.size());
  const Json result = handlers::save(std::move(made), root_.string()).result;
  EXPECT_EQ(at(result, "files.0.path"), "\"photo.jpg\"");
  EXPECT_EQ(at(result, "files.1.path"), "\"plan.PNG.png\"");
  EXPECT_EQ(read(root_ / "photo.jpg"), original);
}

TEST_F(SaveTest, NothingIsOverwrittenWithoutTheWord) {
  (void)save("a");
  std::ofstream(root_ / "a.npy") << "mine";
  EXPECT_EQ(refused("a").code, ErrorCode::bad_message);
  EXPECT_EQ(read(root_ / "a.npy"), "mine");
  (void)save("a", Json::object({{"overwrite", true}}));
  EXPECT_EQ(read(root_ / "a.npy").size(), 136U);
  EXPECT_EQ(files(), 1U);  // and no temporary file is left
}

TEST_F(SaveTest, NamesThatLeaveTheFolderAreRefused) {
  for (const std::string& name : std::vector<std::string>{"..",
                                                          "../a",
                                                          "a/../../b",
                                                          "a/..",
                                                          "/etc/passwd",
                                                          "/",
                                                          "a//b",
                                                          "a/",
                                                          "./a",
                                                          ".",
                                                          ".hidden",
                                                          "a/.ssh/b",
                                                          "a\\b",
                                                          std::string("a\0b", 3),
                                                          "a\nb",
                                                          "a\x7f",
                                                          "\x1b[2J",
                                                          "\xff\xfe",
                                                          "\xc0\xae\xc0\xae/a",
                                                          "a\u202enpy.exe",
                                                          "\u2025/a",
                                                          "a\u2215b",
                                                          "\uff0e\uff0e/a",
                                                          "\u200ba",
                                                          "\ufeffa",
                                                          "a\u0085",
                                                          std::string(201, 'x'),
                                                          std::string(600, 'a') + "/" + std::string(600, 'b')}) {
    const Error error = refused(name);
    EXPECT_EQ(error.code, ErrorCode::bad_message) << name;
    EXPECT_EQ(error.at, "/tensors/0/name") << name;
    EXPECT_EQ(error.message.find(root_.string()), std::string::npos) << error.message;
  }
  EXPECT_EQ(refused("a", Json::object({{"prefix", "../"}})).code, ErrorCode::bad_message);
  EXPECT_EQ(files(), 0U);
  (void)save("gr\u00fc\u00dfe \u65e5\u672c");  // other languages are welcome
  EXPECT_EQ(files(), 1U);
}

TEST_F(SaveTest, LinksAreNeverFollowed) {
  const fs::path outside = root_.parent_path() / "outside";
  fs::create_directory(outside);
  fs::create_directory_symlink(outside, root_ / "link");
  fs::create_symlink(outside / "target", root_ / "dangling.npy");
  std::ofstream(outside / "victim") << "safe";
  fs::create_symlink(outside / "victim", root_ / "victim.npy");
  const Error error = refused("link/a");
  EXPECT_EQ(error.code, ErrorCode::bad_message);
  EXPECT_EQ(error.message.find(root_.string()), std::string::npos) << error.message;
  EXPECT_EQ(refused("dangling").code, ErrorCode::bad_message);
  (void)save("victim", Json::object({{"overwrite", true}}));  // replaces the link, not what it points to
  EXPECT_EQ(read(outside / "victim"), "safe");
  EXPECT_FALSE(fs::is_symlink(root_ / "victim.npy"));
  EXPECT_FALSE(fs::exists(outside / "target"));
  EXPECT_FALSE(fs::exists(outside / "a.npy"));
}

TEST_F(SaveTest, OneBadNameWritesNothingAndNamesMustDiffer) {
  Request made = request("good", tensor<float>({1}));
  made.tensors.emplace_back("../bad", tensor<float>({1}));
  EXPECT_EQ(error_of([&] { (void)handlers::save(std::move(made), root_.string()); }).code, ErrorCode::bad_message);
  Request twice = request("a", tensor<float>({1}));
  twice.tensors.emplace_back("a.npy", tensor<float>({1}));
  EXPECT_EQ(error_of([&] { (void)handlers::save(std::move(twice), root_.string()); }).code, ErrorCode::bad_message);
  EXPECT_EQ(files(), 0U);
}

TEST_F(SaveTest, WrongParametersAndAMissingFolderAreTold) {
  EXPECT_EQ(refused("a", Json::object({{"overwrite", "yes"}})).at, "/params/overwrite");
  EXPECT_EQ(refused("a", Json::object({{"prefix", 5}})).at, "/params/prefix");
  EXPECT_EQ(refused("a", Json::object({{"overwrit", true}})).at, "/params");
  EXPECT_EQ(error_of([] { (void)handlers::save(request("a", tensor<float>({1})), ""); }).code,
            ErrorCode::handler_failed);
  EXPECT_EQ(error_of([] { (void)handlers::record(request("a", tensor<float>({1})), ""); }).code,
            ErrorCode::handler_failed);
  EXPECT_EQ(files(), 0U);
}

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 4; i-- > 0;) value = value << 8U | static_cast<unsigned char>(bytes[i]);
  return value;
}

std::uint32_t masked(std::string_view bytes) {
  const std::uint32_t crc = tensorwire::crc32c(std::as_bytes(std::span(bytes)));
  return (crc >> 15U | crc << 17U) + 0xA282EAD8U;
}

TEST_F(SaveTest, RecordAppendsFramedExamples) {
  for (int i = 0; i < 3; ++i) {
    const Json result =
        handlers::record(request("x", tensor<float>({1, 2}), Json::object({{"file", "a/b.tfrecord"}})), root_.string())
            .result;
    EXPECT_EQ(at(result, "path"), "\"a/b.tfrecord\"");
  }
  const std::string file = read(root_ / "a/b.tfrecord");
  std::string_view rest(file);
  int records = 0;
  while (!rest.empty()) {
    ASSERT_GE(rest.size(), 16U);
    const std::size_t length = little_endian(rest);
    EXPECT_EQ(little_endian(rest.substr(8)), masked(rest.substr(0, 8)));
    const std::string_view data = rest.substr(12, length);
    EXPECT_EQ(little_endian(rest.substr(12 + length)), masked(data));
    EXPECT_NE(data.find("x/dtype"), std::string_view::npos);
    EXPECT_NE(data.find("float32"), std::string_view::npos);
    rest.remove_prefix(16 + length);
    ++records;
  }
  EXPECT_EQ(records, 3);
}

TEST_F(SaveTest, RecordFollowsNoLinkAndOpensNoDevice) {
  fs::create_symlink("/dev/null", root_ / "link");
  ASSERT_EQ(mkfifo((root_ / "pipe").c_str(), 0600), 0);
  const auto refuse = [&](const char* name) {
    return error_of([&] {
      (void)handlers::record(request("x", tensor<float>({1}), Json::object({{"file", name}})), root_.string());
    });
  };
  EXPECT_EQ(refuse("link").code, ErrorCode::bad_message);
  EXPECT_EQ(refuse("../x").code, ErrorCode::bad_message);
  EXPECT_NE(refuse("pipe").message, "");
  EXPECT_EQ(refuse("link").at, "/params/file");
}

}  // namespace
